//! The images launches are made from: named by the operator, or built by us from `images/`, once for all who ask.
//!
//! A build runs as a task of its own: who asked may go away, the next who asks finds it further on.

mod base;
mod build;
mod machine;
mod recipe;
mod script;

use std::sync::{Arc, Mutex};

use self::build::Builder;
use self::recipe::Recipe;
use super::Shared;
use super::engine::or_absent;
use super::settings::DockerSettings;
use crate::spawner::{Image, Progress, ProgressSink, SpawnerError};

/// Passes progress to all who wait, for whichever image: who waits for the second hears of the first.
#[derive(Default)]
pub(super) struct Herald {
    // A plain mutex around values; sinks never block.
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    sinks: Vec<ProgressSink>,
    last: Option<Progress>,
    /// How many still wait; when nobody does, all is forgotten.
    waiting: usize,
}

impl Herald {
    fn join(&self, sink: &ProgressSink) {
        let mut heard = self.heard.lock().expect("sinks do not panic");
        if let Some(last) = &heard.last {
            sink(last.clone());
        }
        heard.sinks.push(sink.clone());
        heard.waiting += 1;
    }

    fn tell(&self, progress: Progress) {
        let mut heard = self.heard.lock().expect("sinks do not panic");
        for sink in &heard.sinks {
            sink(progress.clone());
        }
        heard.last = Some(progress);
    }

    fn leave(&self) {
        let mut heard = self.heard.lock().expect("sinks do not panic");
        heard.waiting = heard.waiting.saturating_sub(1);
        if heard.waiting == 0 {
            *heard = Heard::default();
        }
    }
}

/// Bounds and memory of image work.
pub(super) struct Images {
    turns: tokio::sync::Semaphore,
    herald: Arc<Herald>,
}

impl Images {
    pub(super) fn new(settings: &DockerSettings) -> Self {
        Self {
            turns: tokio::sync::Semaphore::new(settings.images_at_once.max(1)),
            herald: Arc::default(),
        }
    }
}

/// What the image of notebooks is called, whether it is there or not.
pub(super) fn reference_of(settings: &DockerSettings) -> Result<String, SpawnerError> {
    match &settings.image {
        Some(named) => Ok(named.clone()),
        None => Ok(Recipe::singleuser(settings.variant.as_deref())?.reference()),
    }
}

/// The image notebooks are started from.
pub(super) async fn notebook_image(
    shared: &Arc<Shared>,
    progress: ProgressSink,
) -> Result<Image, SpawnerError> {
    let reference = match &shared.settings.image {
        Some(named) => named.clone(),
        None => {
            let recipe = Recipe::singleuser(shared.settings.variant.as_deref())?;
            return Ok(Image {
                reference: ensure(shared, recipe, &progress).await?,
                bindable: true,
            });
        }
    };
    if let Some(image) = look(shared, &reference).await? {
        return Ok(image);
    }
    pull(shared, &reference, &progress).await?;
    look(shared, &reference)
        .await?
        .ok_or_else(|| SpawnerError::Image {
            reason: format!("{reference} was pulled and is not there"),
        })
}

/// The image of throwaway containers.
pub(super) async fn helper_image(
    shared: &Arc<Shared>,
    progress: ProgressSink,
) -> Result<String, SpawnerError> {
    if let Some(named) = &shared.settings.helper_image {
        return Ok(named.clone());
    }
    ensure(shared, Recipe::helper()?, &progress).await
}

impl Shared {
    /// The image of throwaway containers, for those who cannot build it: it is built in `prepare`.
    pub(super) async fn helper_image(&self) -> Result<String, SpawnerError> {
        match &self.settings.helper_image {
            Some(named) => Ok(named.clone()),
            None => Ok(Recipe::helper()?.reference()),
        }
    }
}

/// Sees to it that the image is there, by a task of its own if it must be built.
async fn ensure(
    shared: &Arc<Shared>,
    recipe: Recipe,
    progress: &ProgressSink,
) -> Result<String, SpawnerError> {
    let reference = recipe.reference();
    if look(shared, &reference).await?.is_some() {
        return Ok(reference);
    }
    shared.images.herald.join(progress);
    let worker = shared.clone();
    let building = shared.tasks.spawn(async move {
        let building = async {
            let _turn = worker.images.turns.acquire().await.expect("never closed");
            let builder = Builder {
                shared: &worker,
                recipe: &recipe,
                herald: worker.images.herald.clone(),
            };
            builder.run().await
        };
        let built = tokio::select! {
            built = building => built,
            () = worker.stop.cancelled() => Err(SpawnerError::Image {
                reason: "the hub is ending; the build goes on from here the next time".into(),
            }),
        };
        worker.images.herald.leave();
        built
    });
    match building.await {
        Ok(built) => built,
        Err(error) => Err(SpawnerError::Image {
            reason: format!("the build ended abruptly: {error}"),
        }),
    }
}

/// The image as the engine has it.
async fn look(shared: &Shared, reference: &str) -> Result<Option<Image>, SpawnerError> {
    let found = shared
        .engine
        .call(|docker| async move { docker.inspect_image(reference).await })
        .await;
    let found = or_absent(found).map_err(|trouble| trouble.doing("look at an image"))?;
    Ok(found.map(|found| {
        let labels = found
            .config
            .and_then(|config| config.labels)
            .unwrap_or_default();
        Image {
            reference: reference.to_owned(),
            bindable: labels.contains_key(holt_spec::bundle::IMAGE_LABEL),
        }
    }))
}

/// Pulls an image that the operator named.
async fn pull(
    shared: &Arc<Shared>,
    reference: &str,
    progress: &ProgressSink,
) -> Result<(), SpawnerError> {
    let _turn = shared.images.turns.acquire().await.expect("never closed");
    let herald = Arc::new(Herald::default());
    herald.join(progress);
    let (name, tag) = split_reference(reference);
    let recipe = Recipe::helper()?;
    let builder = Builder {
        shared,
        recipe: &recipe,
        herald,
    };
    builder
        .pull(name, tag, shared.settings.stall)
        .await
        .map_err(|reason| SpawnerError::Image {
            reason: format!("{reference} could not be pulled: {reason}; pull it by hand (docker pull {reference}) or set another image"),
        })
}

/// Name and tag; a port is no tag, and a digest stays with the name.
fn split_reference(reference: &str) -> (&str, &str) {
    if reference.contains('@') {
        return (reference, "");
    }
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_at_their_tag_only() {
        for (reference, name, tag) in [
            ("debian", "debian", "latest"),
            ("debian:bookworm-slim", "debian", "bookworm-slim"),
            ("host:5000/a/b", "host:5000/a/b", "latest"),
            ("host:5000/a/b:1", "host:5000/a/b", "1"),
            ("a@sha256:00", "a@sha256:00", ""),
        ] {
            assert_eq!(split_reference(reference), (name, tag), "{reference}");
        }
    }

    #[test]
    fn who_joins_late_hears_the_last_word() {
        let herald = Herald::default();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink: ProgressSink = {
            let heard = heard.clone();
            Arc::new(move |progress| heard.lock().unwrap().push(progress.message))
        };
        herald.tell(Progress {
            percent: None,
            message: "one".into(),
        });
        herald.join(&sink);
        herald.tell(Progress {
            percent: None,
            message: "two".into(),
        });
        assert_eq!(*heard.lock().unwrap(), ["one", "two"]);
    }
}
