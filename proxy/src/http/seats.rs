//! How many connections each address holds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// All addresses that hold any.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    // Held for one look-up, never across an await.
    taken: Mutex<HashMap<IpAddr, u32>>,
}

/// A connection's place among those of its address, as long as this lives.
#[derive(Debug)]
pub(crate) struct Seat {
    all: Arc<Seats>,
    address: IpAddr,
}

impl Seats {
    /// Takes one; `None` when the address has as many as it may.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr, most: u32) -> Option<Seat> {
        let address = household(address);
        let mut taken = self.taken.lock().expect("no panic under this lock");
        let count = taken.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Seat {
            all: Arc::clone(self),
            address,
        })
    }
}

/// Who shares an address: in IPv6 one client has a whole /64.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.all.taken.lock().expect("no panic under this lock");
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_connection_ended() {
        let seats = Arc::new(Seats::default());
        let address = "192.0.2.1".parse().unwrap();
        let first = seats.take(address, 1);
        assert!(first.is_some());
        assert!(seats.take(address, 1).is_none());
        assert!(seats.take("192.0.2.2".parse().unwrap(), 1).is_some());
        drop(first);
        assert!(seats.take(address, 1).is_some());
        assert!(seats.taken.lock().unwrap().is_empty());
        let six = |text: &str| seats.take(text.parse().unwrap(), 1);
        let _one = six("2001:db8::1");
        assert!(six("2001:db8::2").is_none(), "they are of one household");
        assert!(six("2001:db8:0:1::1").is_some());
    }
}
