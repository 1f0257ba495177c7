//! Bodies on their way: what a client sends on, what it is answered with.
//!
//! Both stream, piece by piece, at the pace of the slower side. Trailers are dropped: nobody here needs them, and merged into
//! headers they are a way to smuggle.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::clock::Answering;
use super::record::Record;
use super::upstream::Lease;

/// A request's body on its way to an upstream.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// As the client sends it.
    Stream(Incoming),
    /// Wholly here (or empty).
    Whole(Option<Bytes>),
}

impl RequestBody {
    /// No body.
    pub(crate) fn empty() -> Self {
        RequestBody::Whole(None)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            RequestBody::Stream(incoming) => poll_data(incoming, cx),
            RequestBody::Whole(bytes) => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Stream(incoming) => incoming.is_end_stream(),
            RequestBody::Whole(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Stream(incoming) => incoming.size_hint(),
            RequestBody::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}

fn poll_data(
    incoming: &mut Incoming,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    let frame = ready!(Pin::new(incoming).poll_frame(cx));
    Poll::Ready(frame.filter(|frame| frame.as_ref().map_or(true, Frame::is_data)))
}

/// An answer's body, and what must happen at its end.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    content: Content,
    // In the order in which they are to be dropped.
    record: Option<Record>,
    answering: Option<Answering>,
}

#[derive(Debug)]
enum Content {
    Own(Option<Bytes>),
    Upstream {
        incoming: Incoming,
        lease: Option<Lease>,
        ended: bool,
    },
}

impl AnswerBody {
    /// A text of our own.
    pub(crate) fn own(bytes: impl Into<Bytes>) -> Self {
        let bytes = Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty());
        AnswerBody::of(Content::Own(bytes))
    }

    /// What an upstream answers; its connection is used again when the answer was read to its end.
    pub(crate) fn upstream(incoming: Incoming, lease: Lease) -> Self {
        AnswerBody::of(Content::Upstream {
            incoming,
            lease: Some(lease),
            ended: false,
        })
    }

    fn of(content: Content) -> Self {
        AnswerBody {
            content,
            record: None,
            answering: None,
        }
    }

    /// Binds the record of the request and the client's clock to the body's end.
    pub(crate) fn until_its_end(mut self, record: Record, answering: Answering) -> Self {
        self.record = Some(record);
        self.answering = Some(answering);
        self
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.get_mut().content {
            Content::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Upstream {
                incoming, ended, ..
            } => {
                let frame = ready!(poll_data(incoming, cx));
                *ended |= frame.is_none();
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(bytes) => bytes.is_none(),
            Content::Upstream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Upstream { incoming, .. } => incoming.size_hint(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        let mut whole = true;
        if let Content::Upstream {
            incoming,
            lease,
            ended,
        } = &mut self.content
        {
            whole = *ended || incoming.is_end_stream();
            if let Some(lease) = lease.take()
                && whole
            {
                lease.give_back();
            }
        }
        if let Some(record) = &mut self.record {
            record.finished(whole);
        }
    }
}
