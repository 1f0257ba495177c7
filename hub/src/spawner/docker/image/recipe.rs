//! What an image is made from, read from `images/<name>/stages.toml` and the files beside it, which the binary holds.
//!
//! **Invariant:** a tag is a hash of everything that goes into the image and of nothing else, so that what has the tag need not
//! be built again, on this machine or in another run.

use std::collections::BTreeMap;

use include_dir::{Dir, include_dir};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::spawner::SpawnerError;

static SINGLEUSER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images/singleuser");
static HELPER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images/helper");

/// The form of `stages.toml` that is understood here.
const FORMAT: u32 = 1;

/// `stages.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    name: String,
    base: Base,
    build: Build,
    #[serde(rename = "stage")]
    stages: Vec<WrittenStage>,
    #[serde(default, rename = "variant")]
    variants: Vec<Variant>,
    image: Final,
}

/// Where the first layer comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Base {
    /// What a registry calls it.
    pub(super) reference: String,
    /// Debian's name, for `mmdebstrap`.
    pub(super) suite: String,
    /// Its variant.
    pub(super) variant: String,
    /// Options for dpkg.
    #[serde(default)]
    pub(super) dpkg: Vec<String>,
}

/// How stages are run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Build {
    /// What keeps a container there for those who build by hand. Ours lives as long as its builder: see `build`.
    #[serde(rename = "idle")]
    _idle: Vec<String>,
    /// Where a stage's files are put.
    pub(super) directory: String,
    pub(super) network: String,
    #[serde(default)]
    pub(super) tmpfs: BTreeMap<String, String>,
    /// Files of the machine that a stage may use.
    #[serde(default)]
    pub(super) machine: Vec<MachineFile>,
    #[serde(default)]
    pub(super) pass: Pass,
}

/// A file of the machine, put beside the stage's files for the time of the build.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MachineFile {
    #[serde(rename = "as")]
    pub(super) name: String,
    pub(super) from: Vec<String>,
    #[serde(default)]
    pub(super) env: Vec<String>,
}

/// Variables that a stage's script gets from our own environment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pass {
    pub(super) env: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStage {
    name: String,
    about: String,
    script: String,
    #[serde(default)]
    files: Vec<String>,
    timeout: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    name: String,
    replace: BTreeMap<String, String>,
}

/// What the last commit says of the image.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Final {
    pub(super) user: String,
    pub(super) entrypoint: Vec<String>,
    pub(super) cmd: Vec<String>,
    pub(super) workdir: String,
    #[serde(default)]
    pub(super) expose: Vec<String>,
    #[serde(default)]
    pub(super) stop_signal: Option<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
}

/// A stage with its contents.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) about: String,
    /// Name of the script among the files.
    pub(super) script: String,
    /// Name and content.
    pub(super) files: Vec<(String, &'static [u8])>,
    pub(super) timeout: std::time::Duration,
    /// What it is committed as.
    pub(super) tag: String,
}

/// An image that can be built.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    /// `holt-<name>`.
    pub(super) repository: String,
    pub(super) base: Base,
    pub(super) base_tag: String,
    pub(super) build: Build,
    pub(super) stages: Vec<Stage>,
    pub(super) last: Final,
}

impl Recipe {
    /// The notebook image, or a variant of it.
    pub(super) fn singleuser(variant: Option<&str>) -> Result<Self, SpawnerError> {
        read(&SINGLEUSER, variant)
    }

    /// The image of throwaway containers.
    pub(super) fn helper() -> Result<Self, SpawnerError> {
        read(&HELPER, None)
    }

    /// What the whole image is called.
    pub(super) fn reference(&self) -> String {
        let tag = self
            .stages
            .last()
            .map_or(&self.base_tag, |stage| &stage.tag);
        format!("{}:{tag}", self.repository)
    }
}

fn read(folder: &'static Dir<'static>, variant: Option<&str>) -> Result<Recipe, SpawnerError> {
    let text = file(folder, "stages.toml")?;
    let text = std::str::from_utf8(text).map_err(|error| broken(&error.to_string()))?;
    let written: Written = toml::from_str(text).map_err(|error| broken(&error.to_string()))?;
    if written.format != FORMAT || written.stages.is_empty() {
        return Err(broken(
            "stages.toml has another form than this program knows",
        ));
    }
    let replace = match variant {
        None => BTreeMap::new(),
        Some(name) => {
            let found = written
                .variants
                .into_iter()
                .find(|variant| variant.name == name);
            found
                .ok_or_else(|| broken(&format!("there is no variant {name:?}")))?
                .replace
        }
    };
    let mut hash = Sha256::new();
    let base = &written.base;
    feed(
        &mut hash,
        &[
            &base.reference,
            &base.suite,
            &base.variant,
            &base.dpkg.join("\n"),
        ],
    );
    let base_tag = short(&hash);
    let last_stage = written.stages.len() - 1;
    let mut stages = Vec::new();
    for (number, stage) in written.stages.into_iter().enumerate() {
        let mut files = Vec::new();
        for name in std::iter::once(&stage.script).chain(&stage.files) {
            let source = replace.get(name).unwrap_or(name);
            files.push((name.clone(), file(folder, source)?));
        }
        feed(&mut hash, &[&stage.name]);
        for (name, content) in &files {
            feed(&mut hash, &[name]);
            feed(&mut hash, &[content]);
        }
        if number == last_stage {
            feed(&mut hash, &[format!("{:?}", written.image)]);
        }
        let minutes = stage
            .timeout
            .strip_suffix('m')
            .and_then(|text| text.parse::<u64>().ok());
        let minutes =
            minutes.ok_or_else(|| broken("a stage's timeout is not a number of minutes"))?;
        stages.push(Stage {
            about: stage.about,
            script: stage.script,
            files,
            timeout: std::time::Duration::from_secs(60 * minutes),
            tag: short(&hash),
        });
    }
    Ok(Recipe {
        repository: format!("holt-{}", written.name),
        base: written.base,
        base_tag,
        build: written.build,
        stages,
        last: written.image,
    })
}

/// Adds texts to the hash, each with its length, so that no two lists are the same.
fn feed(hash: &mut Sha256, texts: &[impl AsRef<[u8]>]) {
    for text in texts {
        hash.update((text.as_ref().len() as u64).to_be_bytes());
        hash.update(text);
    }
}

fn short(hash: &Sha256) -> String {
    hex::encode(&hash.clone().finalize()[..8])
}

fn file(folder: &'static Dir<'static>, name: &str) -> Result<&'static [u8], SpawnerError> {
    let found = folder.get_file(name).map(include_dir::File::contents);
    found.ok_or_else(|| broken(&format!("images/ has no file {name}")))
}

fn broken(reason: &str) -> SpawnerError {
    SpawnerError::Image {
        reason: format!("this program's own description of the image is broken: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_can_be_read() {
        let five = Recipe::singleuser(None).unwrap();
        let six = Recipe::singleuser(Some("hub6")).unwrap();
        let helper = Recipe::helper().unwrap();
        assert!(five.reference().starts_with("holt-singleuser:"));
        assert_eq!(
            five.last
                .labels
                .get(holt_spec::bundle::IMAGE_LABEL)
                .map(String::as_str),
            Some("1")
        );
        assert_ne!(five.reference(), six.reference());
        assert_eq!(
            five.stages[0].tag, six.stages[0].tag,
            "variants share what is alike"
        );
        assert_eq!(five.base_tag, helper.base_tag, "both images share a base");
    }

    #[test]
    fn an_unknown_variant_is_refused() {
        assert!(Recipe::singleuser(Some("hub9")).is_err());
    }

    #[test]
    fn no_two_lists_have_one_hash() {
        let (mut one, mut two) = (Sha256::new(), Sha256::new());
        feed(&mut one, &["ab", "c"]);
        feed(&mut two, &["a", "bc"]);
        assert_ne!(short(&one), short(&two));
    }
}
