//! The first words of a connection, from both sides: who greets, and who answers. Pure.

use mysql_common::constants::{CapabilityFlags, StatusFlags};

use super::packet::Reader;

/// Bytes of a challenge.
pub(crate) const NONCE: usize = 20;

/// `mysql_native_password`.
pub(crate) const NATIVE: &[u8] = b"mysql_native_password";
/// `caching_sha2_password`.
pub(crate) const SHA2: &[u8] = b"caching_sha2_password";

/// What the gateway can do for clients, in any case.
///
/// Not there: `LOCAL_FILES` and `MULTI_STATEMENTS`, which are refused; `SESSION_TRACK` and what is MariaDB's own, so that answers
/// of every backend have one form.
pub(crate) const OFFERED: CapabilityFlags = CapabilityFlags::CLIENT_LONG_PASSWORD
    .union(CapabilityFlags::CLIENT_FOUND_ROWS)
    .union(CapabilityFlags::CLIENT_LONG_FLAG)
    .union(CapabilityFlags::CLIENT_CONNECT_WITH_DB)
    .union(CapabilityFlags::CLIENT_COMPRESS)
    .union(CapabilityFlags::CLIENT_ODBC)
    .union(CapabilityFlags::CLIENT_IGNORE_SPACE)
    .union(CapabilityFlags::CLIENT_PROTOCOL_41)
    .union(CapabilityFlags::CLIENT_INTERACTIVE)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PS_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH)
    .union(CapabilityFlags::CLIENT_CONNECT_ATTRS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(CapabilityFlags::CLIENT_DEPRECATE_EOF);

/// What a client's wish decides about the form of answers, and so must be the same on both sides.
pub(crate) const PASSED_ON: CapabilityFlags = CapabilityFlags::CLIENT_FOUND_ROWS
    .union(CapabilityFlags::CLIENT_LONG_FLAG)
    .union(CapabilityFlags::CLIENT_ODBC)
    .union(CapabilityFlags::CLIENT_IGNORE_SPACE)
    .union(CapabilityFlags::CLIENT_INTERACTIVE)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PS_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_DEPRECATE_EOF);

/// Collation `utf8mb4_general_ci`, which every server knows.
pub(crate) const UTF8MB4: u8 = 45;

/// The payload of our greeting.
pub(crate) fn greeting(
    version: &str,
    connection: u32,
    nonce: &[u8; NONCE],
    capabilities: CapabilityFlags,
) -> Vec<u8> {
    let [a, b, c, d] = capabilities.bits().to_le_bytes();
    let status = StatusFlags::SERVER_STATUS_AUTOCOMMIT.bits().to_le_bytes();
    let mut out = vec![10];
    out.extend_from_slice(version.as_bytes());
    out.push(0);
    out.extend_from_slice(&connection.to_le_bytes());
    out.extend_from_slice(&nonce[..8]);
    out.extend_from_slice(&[0, a, b, UTF8MB4]);
    out.extend_from_slice(&status);
    out.extend_from_slice(&[c, d, NONCE as u8 + 1]);
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(&nonce[8..]);
    out.push(0);
    out.extend_from_slice(NATIVE);
    out.push(0);
    out
}

/// A server's greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// Its version.
    pub(crate) version: String,
    /// The number of the connection, for `KILL`.
    pub(crate) connection: u32,
    /// The challenge.
    pub(crate) nonce: Vec<u8>,
    /// What it can do.
    pub(crate) capabilities: CapabilityFlags,
    /// How it wants to be told the password.
    pub(crate) plugin: Vec<u8>,
}

/// Reads a server's greeting.
pub(crate) fn read_greeting(payload: &[u8]) -> Option<Greeting> {
    let mut reader = Reader(payload);
    if reader.byte()? != 10 {
        return None;
    }
    let version = String::from_utf8_lossy(reader.until_zero()).into_owned();
    let connection = reader.u32()?;
    let mut nonce = reader.take(8)?.to_vec();
    reader.byte()?;
    let low = u32::from(reader.u16()?);
    let (mut high, mut length) = (0, 0);
    if !reader.0.is_empty() {
        reader.take(3)?;
        high = u32::from(reader.u16()?);
        length = usize::from(reader.byte()?);
        reader.take(10)?;
    }
    let capabilities = CapabilityFlags::from_bits_truncate(high << 16 | low);
    if capabilities.contains(CapabilityFlags::CLIENT_SECURE_CONNECTION) {
        let second = reader.take(length.saturating_sub(8).max(13).min(reader.0.len()))?;
        nonce.extend_from_slice(second);
        // The zero behind it is no part of it.
        if nonce.last() == Some(&0) {
            nonce.pop();
        }
    }
    let plugin = if capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH) {
        reader.until_zero().to_vec()
    } else {
        NATIVE.to_vec()
    };
    Some(Greeting {
        version,
        connection,
        nonce,
        capabilities,
        plugin,
    })
}

/// A client's answer to the greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<'b> {
    /// It wants to go on by TLS.
    Tls,
    /// It says who it is.
    Hello(Hello<'b>),
}

/// Who a client says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello<'b> {
    pub(crate) capabilities: CapabilityFlags,
    pub(crate) collation: u8,
    pub(crate) user: &'b [u8],
    pub(crate) proof: &'b [u8],
    pub(crate) database: &'b [u8],
    /// Empty when it names none.
    pub(crate) plugin: &'b [u8],
}

/// Reads a client's answer. Programs from before 4.1 are not understood.
pub(crate) fn read_answer(payload: &[u8]) -> Option<Answer<'_>> {
    let mut reader = Reader(payload);
    let capabilities = CapabilityFlags::from_bits_truncate(reader.u32()?);
    if !capabilities
        .contains(CapabilityFlags::CLIENT_PROTOCOL_41 | CapabilityFlags::CLIENT_SECURE_CONNECTION)
    {
        return None;
    }
    reader.u32()?;
    let collation = reader.byte()?;
    reader.take(23)?;
    if reader.0.is_empty() && capabilities.contains(CapabilityFlags::CLIENT_SSL) {
        return Some(Answer::Tls);
    }
    let user = reader.until_zero();
    let proof = if capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA) {
        reader.counted()?
    } else {
        let length = reader.byte()?;
        reader.take(usize::from(length))?
    };
    let database = if capabilities.contains(CapabilityFlags::CLIENT_CONNECT_WITH_DB) {
        reader.until_zero()
    } else {
        &[]
    };
    let plugin = if capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH) {
        reader.until_zero()
    } else {
        &[]
    };
    // What follows are attributes that the program tells of itself; nothing depends on them.
    Some(Answer::Hello(Hello {
        capabilities,
        collation,
        user,
        proof,
        database,
        plugin,
    }))
}

/// Reads the payload of `COM_CHANGE_USER`, without its first byte.
pub(crate) fn read_change_user(payload: &[u8], capabilities: CapabilityFlags) -> Option<Hello<'_>> {
    let mut reader = Reader(payload);
    let user = reader.until_zero();
    let length = reader.byte()?;
    let proof = reader.take(usize::from(length))?;
    let database = reader.until_zero();
    let collation = reader.u16().unwrap_or(u16::from(UTF8MB4));
    let plugin = if capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH) {
        reader.until_zero()
    } else {
        &[]
    };
    Some(Hello {
        capabilities,
        collation: u8::try_from(collation).unwrap_or(UTF8MB4),
        user,
        proof,
        database,
        plugin,
    })
}

/// The collation for the backend: a client's own where its letters cannot hide a quote, and every server knows it.
///
/// In some East Asian character sets the second byte of a letter may be a quote or a backslash, so statements could not be read.
pub(crate) fn lawful_collation(collation: u8) -> u8 {
    match collation {
        // latin1, utf8 and utf8mb4 in their usual orders, binary, ascii.
        5
        | 8
        | 11
        | 15
        | 31
        | 33
        | 45
        | 46
        | 47
        | 48
        | 49
        | 63
        | 65
        | 83
        | 94
        | 192..=215
        | 224..=247 => collation,
        _ => UTF8MB4,
    }
}

/// The payload of a client's answer to a server's greeting.
pub(crate) fn answer(
    capabilities: CapabilityFlags,
    collation: u8,
    user: &str,
    proof: &[u8],
    database: &str,
    plugin: &[u8],
) -> Vec<u8> {
    let mut out = tls_request(capabilities, collation);
    out.extend_from_slice(user.as_bytes());
    out.push(0);
    // All proofs of the known ways are short.
    out.push(u8::try_from(proof.len()).unwrap_or_default());
    out.extend_from_slice(proof);
    if capabilities.contains(CapabilityFlags::CLIENT_CONNECT_WITH_DB) {
        out.extend_from_slice(database.as_bytes());
        out.push(0);
    }
    out.extend_from_slice(plugin);
    out.push(0);
    out
}

/// The payload that asks a server for TLS, and begins the answer to its greeting.
pub(crate) fn tls_request(capabilities: CapabilityFlags, collation: u8) -> Vec<u8> {
    let mut out = capabilities.bits().to_le_bytes().to_vec();
    out.extend_from_slice(&(1_u32 << 30).to_le_bytes());
    out.push(collation);
    out.extend_from_slice(&[0; 23]);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_greeting_is_read_as_it_was_written() {
        let nonce: [u8; NONCE] = std::array::from_fn(|at| at as u8 + 1);
        let payload = greeting("5.5.5-10.11.0-MariaDB-holt", 77, &nonce, OFFERED);
        let read = read_greeting(&payload).unwrap();
        assert_eq!(read.connection, 77);
        assert_eq!(read.nonce, nonce);
        assert_eq!(read.capabilities, OFFERED);
        assert_eq!(read.plugin, NATIVE);
        assert!(!OFFERED.intersects(
            CapabilityFlags::CLIENT_LOCAL_FILES | CapabilityFlags::CLIENT_MULTI_STATEMENTS
        ));
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let capabilities = OFFERED - CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA;
        let payload = answer(capabilities, 33, "u7", &[1; 20], "enwiki_p", NATIVE);
        let Some(Answer::Hello(hello)) = read_answer(&payload) else {
            panic!("it is one")
        };
        assert_eq!(
            (hello.user, hello.database, hello.plugin, hello.collation),
            (&b"u7"[..], &b"enwiki_p"[..], NATIVE, 33)
        );
        let tls = tls_request(capabilities | CapabilityFlags::CLIENT_SSL, 33);
        assert_eq!(read_answer(&tls), Some(Answer::Tls));
        assert_eq!(read_answer(&[0; 40]), None, "too old a program");
    }

    proptest! {
        #[test]
        fn nothing_read_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = read_answer(&bytes);
            let _ = read_greeting(&bytes);
            let _ = read_change_user(&bytes, OFFERED);
        }
    }
}
