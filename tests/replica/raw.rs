//! A client of a few lines that says what it likes: for what no library would send, and to look at each packet.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sha1::{Digest as _, Sha1};

/// Nothing takes longer; a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Rows of texts.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// An error that the server said: its number and its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: u16,
    pub(crate) words: String,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    /// What the gateway calls the connection.
    pub(crate) number: u32,
    pub(crate) nonce: Vec<u8>,
    pub(crate) capabilities: u32,
}

/// Protocol 4.1, passwords of 4.1, several results, names of ways to sign in, transactions.
pub(crate) const CAPABILITIES: u32 =
    0x0000_0001 | 0x0000_0200 | 0x0000_8000 | 0x0002_0000 | 0x0008_0000 | 0x0000_2000;

impl Raw {
    /// Connects and reads the greeting.
    pub(crate) fn greet(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut raw = Self {
            stream,
            number: 0,
            nonce: Vec::new(),
            capabilities: 0,
        };
        let (_, greeting) = raw.packet().expect("it greets");
        let end = 1 + greeting[1..].iter().position(|byte| *byte == 0).unwrap();
        let rest = &greeting[end + 1..];
        raw.number = u32::from_le_bytes(rest[..4].try_into().unwrap());
        raw.nonce = [&rest[4..12], &rest[31..43]].concat();
        raw.capabilities = u32::from_le_bytes([rest[13], rest[14], rest[18], rest[19]]);
        raw
    }

    /// Connects and signs in.
    pub(crate) fn enter(
        address: SocketAddr,
        user: &str,
        password: &str,
        database: &str,
    ) -> Result<Self, Refused> {
        let mut raw = Self::greet(address);
        let proof = raw.proof(password);
        raw.send(1, &hello(user, &proof, database));
        match raw.word() {
            Ok(_) => Ok(raw),
            Err(refused) => Err(refused),
        }
    }

    /// The proof of a password for this connection.
    pub(crate) fn proof(&self, password: &str) -> Vec<u8> {
        let once = Sha1::digest(password);
        let mask = Sha1::new()
            .chain_update(&self.nonce)
            .chain_update(Sha1::digest(once))
            .finalize();
        once.iter()
            .zip(mask)
            .map(|(one, other)| one ^ other)
            .collect()
    }

    /// Sends bytes as they are. The other side may be gone.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends one packet.
    pub(crate) fn send(&mut self, sequence: u8, payload: &[u8]) {
        let mut out = u32::try_from(payload.len()).unwrap().to_le_bytes();
        out[3] = sequence;
        self.send_bytes(&[&out[..], payload].concat());
    }

    /// The next packet, with its number; none when the other side is gone.
    pub(crate) fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; 4];
        match self.stream.read_exact(&mut header) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                panic!("nothing came within {PATIENCE:?}")
            }
            Err(_) => return None,
        }
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some((header[3], payload))
    }

    /// One packet that says that all is well, or an error.
    pub(crate) fn word(&mut self) -> Result<Vec<u8>, Refused> {
        let Some((_, payload)) = self.packet() else {
            return Err(Refused {
                code: 0,
                words: "the connection ended".to_owned(),
            });
        };
        if payload[0] == 0xFF {
            return Err(Refused {
                code: u16::from_le_bytes([payload[1], payload[2]]),
                words: String::from_utf8_lossy(&payload[9..]).into_owned(),
            });
        }
        Ok(payload)
    }

    /// Says a statement, and reads its first result to the end; further ones are read and left out.
    pub(crate) fn ask(&mut self, statement: &str) -> Result<Rows, Refused> {
        self.say(statement);
        self.hear()
    }

    /// Says a statement.
    pub(crate) fn say(&mut self, statement: &str) {
        self.send(0, &[b"\x03", statement.as_bytes()].concat());
    }

    /// Reads what is answered to a statement.
    pub(crate) fn hear(&mut self) -> Result<Rows, Refused> {
        let mut first = None;
        loop {
            let (rows, status) = self.hear_one()?;
            first.get_or_insert(rows);
            if status & 8 == 0 {
                return Ok(first.unwrap());
            }
        }
    }

    fn hear_one(&mut self) -> Result<(Rows, u16), Refused> {
        let head = self.word()?;
        if head[0] == 0 {
            return Ok((Vec::new(), u16::from_le_bytes([head[3], head[4]])));
        }
        for _ in 0..=head[0] {
            self.word()?;
        }
        let mut rows = Vec::new();
        loop {
            let payload = self.word()?;
            if payload[0] == 0xFE && payload.len() < 9 {
                return Ok((rows, u16::from_le_bytes([payload[3], payload[4]])));
            }
            let mut rest = &payload[..];
            let mut row = Vec::new();
            while !rest.is_empty() {
                let (skip, length) = match rest[0] {
                    0xFB => {
                        row.push(None);
                        rest = &rest[1..];
                        continue;
                    }
                    0xFC => (3, usize::from(rest[1]) | usize::from(rest[2]) << 8),
                    0xFD => (
                        4,
                        usize::from(rest[1])
                            | usize::from(rest[2]) << 8
                            | usize::from(rest[3]) << 16,
                    ),
                    short => (1, usize::from(short)),
                };
                row.push(Some(
                    String::from_utf8_lossy(&rest[skip..skip + length]).into_owned(),
                ));
                rest = &rest[skip + length..];
            }
            rows.push(row);
        }
    }

    /// The only value of a statement's result.
    pub(crate) fn value(&mut self, statement: &str) -> String {
        let rows = self
            .ask(statement)
            .unwrap_or_else(|refused| panic!("{statement}: {refused:?}"));
        rows[0][0].clone().unwrap()
    }
}

/// Who a client says it is.
pub(crate) fn hello(user: &str, proof: &[u8], database: &str) -> Vec<u8> {
    let mut capabilities = CAPABILITIES;
    if !database.is_empty() {
        capabilities |= 8;
    }
    let mut out = capabilities.to_le_bytes().to_vec();
    out.extend_from_slice(&[0, 0, 0, 1, 33]);
    out.extend_from_slice(&[0; 23]);
    out.extend_from_slice(user.as_bytes());
    out.extend_from_slice(&[0, u8::try_from(proof.len()).unwrap()]);
    out.extend_from_slice(proof);
    if !database.is_empty() {
        out.extend_from_slice(database.as_bytes());
        out.push(0);
    }
    out.extend_from_slice(b"mysql_native_password\0");
    out
}
