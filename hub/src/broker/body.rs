//! Bodies on their way: counted, and joined where their beginning was looked at.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};

use super::parts::Parts;
use super::refusal::Bad;

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
    let mut read = bytes::BytesMut::new();
    while read.len() < most {
        match body.frame().await {
            None => return Ok((read.freeze(), true)),
            Some(Err(_)) => return Err(Bad::Body),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    read.extend_from_slice(data);
                }
            }
        }
    }
    Ok((read.freeze(), body.is_end_stream()))
}
