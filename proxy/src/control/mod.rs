//! STUB, for this branch only.
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use holt_spec::control::InternalStatus;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::http::Edge;
use crate::table::Routes;

/// STUB
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) edge: Arc<Edge>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) public: Vec<SocketAddr>,
    pub(crate) internal: Arc<Mutex<Option<InternalStatus>>>,
}
/// STUB
pub(crate) async fn bind(_path: &Path) -> io::Result<UnixListener> { todo!() }
/// STUB
pub(crate) async fn serve(_control: Arc<Control>, _listener: UnixListener, _stop: CancellationToken) {}
