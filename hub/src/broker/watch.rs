//! Whether a request that is under way is still wished: its launch runs, nobody stopped it, and there is a credential to act with.
//!
//! Looked at every second, for all requests together (`looks`), until the wiki's answer begins and the request's body is over. A body that
//! is on its way then breaks off, so that the wiki gets it incomplete; a wiki that is waited for is waited for no more. An answer that
//! streams already is not cut: what it tells was asked for while that was wished.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep};

use super::refusal::{BrokerError, ended};
use super::{Broker, Shown};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// How long a database that fails is borne with.
const PATIENCE: Duration = Duration::from_secs(15);

/// Ends when the request is not wished any more, with why; never otherwise. All clones are one: polled by any, looked at once.
pub(super) type Watch = Shared<BoxFuture<'static, Arc<BrokerError>>>;

/// Begins to watch.
pub(super) fn watch(broker: &Broker, shown: &Shown<'_>) -> Watch {
    let (broker, token, from) = (broker.clone(), shown.token.to_owned(), shown.from);
    async move {
        let mut good = Instant::now();
        loop {
            sleep(EVERY).await;
            let shown = Shown {
                token: &token,
                from,
            };
            match broker.actor(&shown).await {
                Ok(_) => good = Instant::now(),
                Err(BrokerError::Store(_)) if good.elapsed() < PATIENCE => {}
                Err(error) => return Arc::new(error),
            }
        }
    }
    .boxed()
    .shared()
}

/// A body on its way that breaks off when it is not wished any more.
pub(super) struct Watched {
    body: reqwest::Body,
    watch: Watch,
    /// Whether something of it was taken.
    left: Arc<AtomicBool>,
}

impl Watched {
    pub(super) fn new(body: reqwest::Body, watch: Watch, left: Arc<AtomicBool>) -> Self {
        Self { body, watch, left }
    }
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("it was stopped: {0}")]
    Stopped(BrokerError),
    #[error(transparent)]
    Body(#[from] reqwest::Error),
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Poll::Ready(why) = self.watch.poll_unpin(cx) {
            return Poll::Ready(Some(Err(Broken::Stopped(ended(&why)))));
        }
        let next = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(_))) = &next {
            self.left.store(true, Ordering::Release);
        }
        next.map(|next| next.map(|frame| frame.map_err(Broken::Body)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
