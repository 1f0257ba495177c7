//! Who stands at the door: connected, and not known yet. There is room for so many, and no address has more of it than it leaves to
//! all others, so that some notebooks that say nothing keep nobody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// So many may stand there at once.
const ALL: usize = 512;

/// The door.
#[derive(Debug, Default)]
pub(super) struct Door {
    // Held for a look-up, never across a wait.
    standing: Mutex<Standings>,
}

#[derive(Debug, Default)]
struct Standings {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place at the door.
#[derive(Debug)]
pub(super) struct Standing {
    door: Arc<Door>,
    address: IpAddr,
}

impl Door {
    /// A place, if there is one.
    pub(super) fn stand(self: &Arc<Self>, address: IpAddr) -> Option<Standing> {
        let mut standing = self.standing.lock().expect("no panic under this lock");
        if standing.all >= ALL {
            return None;
        }
        // Half of all for the first one, as all may come from one address where the way hides them; half of the rest for the next.
        let left = ALL - standing.all;
        let of_one = standing.by_address.entry(address).or_default();
        if *of_one >= left {
            return None;
        }
        *of_one += 1;
        standing.all += 1;
        Some(Standing {
            door: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let mut standing = self.door.standing.lock().expect("no panic under this lock");
        standing.all -= 1;
        if let Some(of_one) = standing.by_address.get_mut(&self.address) {
            *of_one -= 1;
            if *of_one == 0 {
                standing.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_fill_it() {
        let door = Arc::new(Door::default());
        let of = |last: u8| IpAddr::from([127, 0, 0, last]);
        let mut standing: Vec<_> = std::iter::from_fn(|| door.stand(of(1))).collect();
        assert_eq!(standing.len(), ALL / 2);
        // Nor do several: whoever comes next still gets in.
        for address in 2..9 {
            standing.extend(std::iter::from_fn(|| door.stand(of(address))));
            assert!(door.stand(of(200)).is_some(), "after {address}");
        }
        drop(standing);
        assert!(door.standing.lock().unwrap().by_address.is_empty());
        assert!(door.stand(of(1)).is_some());
    }
}
