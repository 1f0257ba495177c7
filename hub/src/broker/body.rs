//! Bodies on their way: counted, joined where their beginning was looked at, and not waited for where they hardly come.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

use super::memory::Held;
use super::parts::Parts;
use super::refusal::{Bad, BrokerError};

/// How slowly a form may come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// What it may take beside what its length takes.
    slow: Duration,
    /// The least that comes in a second, in bytes.
    rate: u32,
}

/// The largest form has a little more than a minute.
pub(super) const FORMS: Pace = Pace {
    slow: Duration::from_secs(10),
    rate: 256 << 10,
};
/// How long the beginning of a body that streams may take.
const BEGINNING: Duration = Duration::from_secs(60);

/// A body that is sent on as it comes: what was read of it already, then the rest.
pub(super) struct Passing<B> {
    begun: Option<Bytes>,
    /// The lock is never waited for: it only lets a body that is not shared be called shareable.
    rest: Mutex<B>,
    left: u64,
    is_over: bool,
    /// What looks at a multipart body.
    parts: Option<Parts>,
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("the body is larger than may be sent")]
    TooLarge,
    #[error("the body did not arrive")]
    Lost,
    #[error("{0}")]
    Refused(Bad),
}

impl<B> Passing<B>
where
    B: Body<Data = Bytes> + Send + Unpin,
{
    pub(super) fn new(
        begun: Bytes,
        rest: B,
        most: u64,
        is_over: bool,
        parts: Option<Parts>,
    ) -> Self {
        Self {
            left: most.saturating_sub(begun.len() as u64),
            begun: (!begun.is_empty()).then_some(begun),
            rest: Mutex::new(rest),
            is_over,
            parts,
        }
    }
}

impl<B> Body for Passing<B>
where
    B: Body<Data = Bytes> + Send + Unpin,
{
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if let Some(begun) = this.begun.take() {
            return Poll::Ready(Some(Ok(Frame::data(begun))));
        }
        if this.is_over {
            return Poll::Ready(None);
        }
        let rest = this.rest.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Poll::Ready(next) = Pin::new(rest).poll_frame(cx) else {
            return Poll::Pending;
        };
        Poll::Ready(match next {
            None => match this.parts.as_ref().map(Parts::end) {
                Some(Err(bad)) => Some(Err(Cut::Refused(bad))),
                Some(Ok(())) | None => None,
            },
            Some(Err(_)) => Some(Err(Cut::Lost)),
            Some(Ok(frame)) => {
                if let (Some(parts), Some(data)) = (&mut this.parts, frame.data_ref())
                    && let Err(bad) = parts.take(data)
                {
                    return Poll::Ready(Some(Err(Cut::Refused(bad))));
                }
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                match this.left.checked_sub(length) {
                    Some(left) => {
                        this.left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(Cut::TooLarge)),
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_none() && self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        let begun = self.begun.as_ref().map_or(0, Bytes::len) as u64;
        let rest = match (self.is_over, self.rest.lock()) {
            (true, _) => Some(0),
            (false, Ok(rest)) => rest.size_hint().exact(),
            (false, Err(_)) => None,
        };
        rest.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(begun + rest))
    }
}

/// Reads until `most` bytes are there, or the end; whether it is the end.
pub(super) async fn read<B>(body: &mut B, most: usize) -> Result<(Bytes, bool), Bad>
where
    B: Body<Data = Bytes> + Send + Unpin,
{
    let due = Instant::now() + BEGINNING;
    let mut read = bytes::BytesMut::new();
    while read.len() < most {
        match timeout_at(due, body.frame()).await {
            Err(_) => return Err(Bad::Slow),
            Ok(None) => return Ok((read.freeze(), true)),
            Ok(Some(Err(_))) => return Err(Bad::Body),
            Ok(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    read.extend_from_slice(data);
                }
            }
        }
    }
    Ok((read.freeze(), body.is_end_stream()))
}

/// Reads a form of at most so many bytes; memory is taken as they come.
pub(super) async fn read_form<B>(
    body: &mut B,
    most: usize,
    held: &mut Held<'_>,
    pace: Pace,
) -> Result<Bytes, BrokerError>
where
    B: Body<Data = Bytes> + Send + Unpin,
{
    if body.size_hint().lower() > most as u64 {
        return Err(Bad::TooLarge.into());
    }
    let mut due = Instant::now() + pace.slow;
    let mut read = bytes::BytesMut::new();
    loop {
        let data = match timeout_at(due, body.frame()).await {
            Err(_) => return Err(Bad::Slow.into()),
            Ok(None) => return Ok(read.freeze()),
            Ok(Some(Err(_))) => return Err(Bad::Body.into()),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        if read.len() + data.len() > most {
            return Err(Bad::TooLarge.into());
        }
        let waits = Instant::now();
        held.grow(read.len() + data.len()).await?;
        // Whoever waited for memory was not slow.
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        due += waits.elapsed() + Duration::from_secs(1) / pace.rate * length;
        read.extend_from_slice(&data);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};
    use http_body_util::StreamBody;

    use super::super::memory::Memory;
    use super::*;

    /// A body of pieces that come so far apart.
    fn dripping(
        pieces: usize,
        of: usize,
        each: Duration,
    ) -> impl Body<Data = Bytes, Error = Infallible> + Send + Unpin {
        let pieces = stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(each).await;
            Ok(Frame::data(Bytes::from(vec![b'x'; of])))
        });
        StreamBody::new(Box::pin(pieces))
    }

    #[tokio::test]
    async fn a_form_that_drips_is_not_waited_for() {
        let memory = Memory::new();
        let pace = Pace {
            slow: Duration::from_millis(200),
            rate: 1 << 20,
        };
        let mut drip = dripping(10_000, 1, Duration::from_millis(10));
        let begun = Instant::now();
        let read = read_form(&mut drip, 16 << 20, &mut memory.of(1), pace).await;
        assert!(matches!(read, Err(BrokerError::Bad(Bad::Slow))));
        assert!(begun.elapsed() < Duration::from_secs(5));
        // A large one at a good rate takes its time.
        let begun = Instant::now();
        let mut slow = dripping(30, 512 << 10, Duration::from_millis(10));
        let read = read_form(&mut slow, 16 << 20, &mut memory.of(1), pace).await;
        assert_eq!(read.expect("a form").len(), 15 << 20);
        assert!(begun.elapsed() > pace.slow);
        let mut large = dripping(33, 512 << 10, Duration::ZERO);
        let read = read_form(&mut large, 16 << 20, &mut memory.of(1), pace).await;
        assert!(matches!(read, Err(BrokerError::Bad(Bad::TooLarge))));
    }

    #[tokio::test]
    async fn a_body_is_cut_before_a_part_that_decides_has_its_head() {
        let head = "Content-Disposition: form-data; name=";
        let begun = format!("--b\r\n{head}\"text\"\r\n\r\n");
        let late = format!("\r\n--b\r\n{head}\"action\"\r\n\r\nlogin\r\n--b--\r\n");
        let mut parts = Parts::new("b", []);
        parts.take(begun.as_bytes()).expect("the beginning");
        parts.decided();
        let pieces: Vec<Bytes> = late
            .as_bytes()
            .chunks(7)
            .map(Bytes::copy_from_slice)
            .collect();
        let pieces = stream::iter(pieces).map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        let rest = StreamBody::new(Box::pin(pieces));
        let mut passing = Passing::new(Bytes::from(begun), rest, 1 << 20, false, Some(parts));
        let mut passed = Vec::new();
        let cut = loop {
            match passing.frame().await {
                Some(Ok(frame)) => passed.extend(frame.into_data().expect("data")),
                Some(Err(cut)) => break cut,
                None => panic!("it was sent whole"),
            }
        };
        assert!(matches!(cut, Cut::Refused(Bad::Parts(_))));
        let passed = String::from_utf8(passed).expect("text");
        assert!(!passed.contains("\"action\"\r\n\r\n"), "{passed}");
        assert!(!passing.is_end_stream());
    }
}
