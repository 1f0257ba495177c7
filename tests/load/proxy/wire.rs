//! The bytes that load generator and upstream exchange through a proxy: made once, and only compared afterwards.
//!
//! **Invariant:** nothing here knows a socket, and nothing is allocated per message.

use anyhow::{Result, bail, ensure};

/// Body of every small answer.
pub(crate) const SMALL_BODY: &[u8; 100] = b"{\"name\": \"notebook.ipynb\", \"type\": \"notebook\", \"size\": 31415, \"created\": \"2026-01-01T00:00:00.000Z\"}";
/// What a body of many bytes is made of.
pub(crate) const BLOCK: usize = 64 * 1024;
/// Longest head that anybody sends here.
pub(crate) const HEAD_LIMIT: usize = 16 * 1024;
/// How every good answer begins.
pub(crate) const GOOD: &[u8] = b"HTTP/1.1 200 ";

/// Paths below the measured route, and what the upstream does for them.
pub(crate) mod path {
    /// Answers with the small body.
    pub(crate) const SMALL: &str = "/user/a/api/contents";
    /// Becomes a websocket that returns what it gets.
    pub(crate) const ECHO: &str = "/user/a/ws";
    /// Answers with so many bytes and `Content-Length`; the number follows.
    pub(crate) const DOWNLOAD: &str = "/user/a/bulk/down/";
    /// The same in chunks.
    pub(crate) const CHUNKED: &str = "/user/a/bulk/chunked/";
    /// Takes a body, and answers with the small one.
    pub(crate) const UPLOAD: &str = "/user/a/bulk/up";
    /// Answers only after some seconds.
    pub(crate) const SLOW: &str = "/user/a/slow";
}

/// A browser's `GET`, about 400 bytes.
pub(crate) fn small_request(port: u16) -> Vec<u8> {
    request(
        "GET",
        &format!("{}?content=0&type=file", path::SMALL),
        port,
        "",
    )
}

/// A browser's request without a body, or the head of one that has a body.
pub(crate) fn request(method: &str, path: &str, port: u16, fields: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\n\
         Host: 127.0.0.1:{port}\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         Accept: application/json\r\n\
         Accept-Language: en-US,en;q=0.5\r\n\
         Accept-Encoding: gzip, deflate\r\n\
         Cookie: _xsrf=2|3f2a9c41|00112233445566778899aabbccddeeff|1767225600; hub-session-id=8d969eef6ecad3c29a3a629280e686cf\r\n\
         {fields}\r\n"
    )
    .into_bytes()
}

/// Asks for a websocket.
pub(crate) fn upgrade_request(port: u16) -> Vec<u8> {
    request(
        "GET",
        path::ECHO,
        port,
        "Connection: Upgrade\r\n\
         Upgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    )
}

/// The upstream's small answer: a head of about 200 bytes, and the small body.
pub(crate) fn small_answer() -> Vec<u8> {
    let mut answer = answer_head(&format!("Content-Length: {}\r\n", SMALL_BODY.len()));
    answer.extend_from_slice(SMALL_BODY);
    answer
}

/// Head of an upstream's answer.
pub(crate) fn answer_head(fields: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\n\
         Server: TornadoServer/6.5.4\r\n\
         Content-Type: application/json\r\n\
         Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Cache-Control: no-store\r\n\
         {fields}\r\n"
    )
    .into_bytes()
}

/// Where the head ends, if it does.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// The value of a field.
pub(crate) fn field<'head>(head: &'head [u8], name: &str) -> Option<&'head str> {
    let head = std::str::from_utf8(head).ok()?;
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A masked frame from the client with a payload of `size` bytes, and where its payload begins.
///
/// The mask is zero, which is lawful, so that nobody here spends time on it.
pub(crate) fn client_frame(size: usize) -> (Vec<u8>, usize) {
    let mut frame = frame_head(size);
    frame[1] |= 0x80;
    frame.extend_from_slice(&[0; 4]);
    let begin = frame.len();
    frame.extend((0..size).map(|at| b"abcdefghijklmnopqrstuvwxyz"[at % 26]));
    (frame, begin)
}

/// Head of an unmasked binary frame.
pub(crate) fn frame_head(size: usize) -> Vec<u8> {
    let mut head = vec![0x82];
    match (u8::try_from(size), u16::try_from(size)) {
        (Ok(short), _) if short < 126 => head.push(short),
        (_, Ok(middle)) => {
            head.push(126);
            head.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            head.push(127);
            head.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    head
}

/// Length of a masked frame's head and of its payload, as soon as the bytes tell.
pub(crate) fn masked_frame(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(second) = bytes.get(1) else {
        return Ok(None);
    };
    ensure!(second & 0x80 != 0, "a client's frame is not masked");
    let (head, size) = match second & 0x7f {
        126 => match bytes.get(2..4) {
            Some(size) => (4, usize::from(u16::from_be_bytes([size[0], size[1]]))),
            None => return Ok(None),
        },
        127 => bail!("a frame is longer than anybody sends here"),
        size => (2, usize::from(size)),
    };
    Ok(Some((head + 4, size)))
}
