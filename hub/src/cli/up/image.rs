//! What the hub says of itself while it gets ready, and how the image is coming along.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::cli::terminal::Terminal;
use crate::socket;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// So many looks without anything to tell, and nothing more is to come.
const QUIET_LOOKS: u32 = 3;
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// What `GET /hub/ready` says.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct HubReady {
    pub(super) ready: bool,
    #[serde(default)]
    pub(super) reasons: Vec<String>,
    #[serde(default)]
    image: Option<ImageProgress>,
    /// Why no server is started at present.
    #[serde(default)]
    held: Option<String>,
    /// Why the image could not be had.
    #[serde(default)]
    image_problem: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct ImageProgress {
    percent: Option<u8>,
    message: String,
}

/// Shows how the image is coming along, and what else keeps servers from being started.
pub(super) async fn follow(hub: PathBuf, terminal: Arc<Terminal>) {
    let mut seen = false;
    let mut quiet = 0;
    // The hub begins with the image a moment after it has prepared the engine.
    while quiet < QUIET_LOOKS {
        match socket::ask::<HubReady>(&hub, "/hub/ready", ANSWER).await {
            Ok(HubReady {
                image: Some(image), ..
            }) => {
                if !seen {
                    terminal.say("The image of the notebook servers is being built; you can sign in meanwhile.");
                }
                (seen, quiet) = (true, 0);
                terminal.progress(image.percent, &image.message);
            }
            Ok(HubReady {
                held: Some(reason), ..
            }) => {
                quiet = 0;
                terminal.progress(None, &reason);
            }
            Ok(HubReady {
                image_problem: Some(problem),
                ..
            }) => {
                terminal.done();
                terminal.say(format!("{problem} The next start of a server tries again."));
                return;
            }
            Ok(_) => quiet += 1,
            // The hub is being started again.
            Err(_) => quiet = 0,
        }
        tokio::time::sleep(LOOK).await;
    }
    terminal.done();
    if seen {
        terminal.say("The image of the notebook servers is ready.");
    }
}
