//! The section map: read where the settings say, read again from time to time, and kept when it cannot be read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Gateway;
use super::backend::Entry;
use super::settings::MapSource;

/// Section name to the databases in it.
pub(crate) type Map = BTreeMap<String, Vec<String>>;

/// What is added to a wiki's name for the views that anybody may read.
const SUFFIX: &str = "_p";
/// The section map of all wikis at once is some kilobytes.
const ANSWER: Duration = Duration::from_secs(30);

fn kept(state_dir: &Path) -> PathBuf {
    state_dir.join("sections.json")
}

/// Takes the map that was kept, if there is one.
pub(crate) fn take_kept(gateway: &Gateway) {
    let text = std::fs::read(kept(&gateway.settings.state_dir));
    if let Some(map) = text
        .ok()
        .and_then(|text| serde_json::from_slice::<Map>(&text).ok())
    {
        gateway.sections.set_map(&map);
    }
}

/// Reads the map once, and takes it. What cannot be read leaves everything as it is.
pub(crate) async fn refresh(gateway: &Gateway) -> Result<usize, String> {
    let map = match &gateway.settings.map {
        MapSource::Settings => return Ok(gateway.sections.set_map(&Map::new())),
        MapSource::Directory(directory) => {
            let mut map = Map::new();
            for section in &gateway.sections.all {
                let path = directory.join(format!("{}.dblist", section.name));
                match tokio::fs::read_to_string(&path).await {
                    Ok(text) => drop(map.insert(section.name.to_string(), read_list(&text))),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        keep_section(gateway, &mut map, &section.name);
                    }
                    Err(error) => return Err(format!("{}: {error}", path.display())),
                }
            }
            map
        }
        MapSource::Address { base, fetch } => {
            let mut map = Map::new();
            for section in &gateway.sections.all {
                let address = format!("{}/{}.dblist", base.trim_end_matches('/'), section.name);
                let text = tokio::time::timeout(ANSWER, fetch(address.clone())).await;
                let text = text.map_err(|_| format!("{address} does not answer"))??;
                match text {
                    Some(text) => drop(map.insert(section.name.to_string(), read_list(&text))),
                    None => keep_section(gateway, &mut map, &section.name),
                }
            }
            map
        }
        MapSource::Table => read_table(gateway).await?,
    };
    if map.values().all(Vec::is_empty) {
        return Err("it names no wiki of any section".to_owned());
    }
    let count = gateway.sections.set_map(&map);
    keep(&gateway.settings.state_dir, &map);
    Ok(count)
}

/// A section without a list keeps what is known of it: lists are replaced one by one, and a section may have none at all.
fn keep_section(gateway: &Gateway, map: &mut Map, section: &str) {
    let known = gateway.sections.databases();
    let here = known
        .into_iter()
        .filter(|(_, home)| home == section)
        .map(|(database, _)| database);
    map.insert(section.to_owned(), here.collect());
}

fn keep(state_dir: &Path, map: &Map) {
    let path = kept(state_dir);
    let new = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        std::fs::write(&new, serde_json::to_vec(map)?)?;
        std::fs::rename(&new, &path)
    };
    if let Err(error) = write() {
        tracing::warn!(%error, path = %path.display(), "The section map is in force but could not be kept");
    }
}

/// The databases of a dblist: one wiki a line, `#` begins a comment.
fn read_list(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|name| is_wiki(name))
        .map(|name| format!("{name}{SUFFIX}"))
        .collect()
}

fn is_wiki(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 60
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// `meta_p.wiki` on any backend that has it: names, and slices such as `s1.labsdb`.
async fn read_table(gateway: &Gateway) -> Result<Map, String> {
    let mut last = "no backend answers".to_owned();
    let home = match gateway.sections.place("meta_p") {
        super::sections::Place::In(section) => section,
        _ => gateway.sections.default().clone(),
    };
    for target in home.order(None) {
        let account = gateway.accounts.get(gateway.accounts.count() - 1);
        let read = async {
            let mut backend = target.dial.connect(account, Entry::OWN).await?;
            let read = backend
                .ask("SELECT dbname, slice FROM meta_p.wiki", ANSWER)
                .await;
            backend.quit().await;
            read
        };
        match read.await {
            Ok(table) => {
                let mut map = Map::new();
                for row in 0..table.rows.len() {
                    let (Some(name), Some(slice)) =
                        (table.value(row, "dbname"), table.value(row, "slice"))
                    else {
                        continue;
                    };
                    let section = slice.split('.').next().unwrap_or_default();
                    if is_wiki(name) {
                        map.entry(section.to_owned())
                            .or_default()
                            .push(format!("{name}{SUFFIX}"));
                    }
                }
                return Ok(map);
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// Reads the map again and again; soon when it could not be read.
pub(crate) async fn keep_fresh(gateway: std::sync::Arc<Gateway>) {
    let mut told = false;
    loop {
        let wait = match refresh(&gateway).await {
            Ok(count) => {
                told = false;
                tracing::debug!(databases = count, "The section map was read");
                gateway.settings.map_refresh
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(
                        error,
                        "The section map cannot be read; what was known is kept"
                    );
                }
                Duration::from_secs(2).min(gateway.settings.map_refresh)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = gateway.stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dblist_is_names_and_comments() {
        assert_eq!(
            read_list("# all\nenwiki\n dewiki # de\n\nbad name\n../x\nzh-min-nan\n"),
            ["enwiki_p", "dewiki_p", "zh-min-nan_p"]
        );
    }
}
