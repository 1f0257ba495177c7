//! The images launches are made from: named by the operator, or built by us from `images/`, once for all who ask.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::Shared;
use super::engine::or_absent;
use super::settings::DockerSettings;
use crate::spawner::{Image, Progress, ProgressSink, SpawnerError};

/// Bounds and memory of image work.
pub(super) struct Images {
    turns: Semaphore,
}

impl Images {
    pub(super) fn new(settings: &DockerSettings) -> Self {
        Self {
            turns: Semaphore::new(settings.images_at_once.max(1)),
        }
    }
}

/// The image notebooks are started from.
pub(super) async fn notebook_image(
    shared: &Arc<Shared>,
    progress: ProgressSink,
) -> Result<Image, SpawnerError> {
    let _turn = shared.images.turns.acquire().await.expect("never closed");
    let reference = shared.settings.image.clone().unwrap_or_default();
    progress(Progress {
        percent: Some(100),
        message: "The image is there".into(),
    });
    let found = shared
        .engine
        .call(|docker| {
            let r = reference.clone();
            async move { docker.inspect_image(&r).await }
        })
        .await;
    let found = or_absent(found).map_err(|trouble| trouble.doing("look at an image"))?;
    let found = found.ok_or(SpawnerError::Image {
        reason: "absent".into(),
    })?;
    let bindable = found
        .config
        .and_then(|config| config.labels)
        .is_some_and(|labels| labels.contains_key(holt_spec::bundle::IMAGE_LABEL));
    Ok(Image {
        reference,
        bindable,
    })
}

/// The image of throwaway containers.
pub(super) async fn helper_image(
    shared: &Shared,
    _progress: ProgressSink,
) -> Result<String, SpawnerError> {
    Ok(shared.settings.helper_image.clone().unwrap_or_default())
}

impl Shared {
    /// The image of throwaway containers, with nobody who watches.
    pub(super) async fn helper_image(&self) -> Result<String, SpawnerError> {
        helper_image(self, Arc::new(|_| {})).await
    }
}
