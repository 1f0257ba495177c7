//! The list of names that are hard to handle: what is in it, and that the wiki says each of them as it is.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::client::{SUB, access, identify, part, wiki};

#[derive(Deserialize)]
struct Named {
    sub: u64,
    name: String,
}

fn names() -> Result<Vec<Named>> {
    let file = include_str!("../../spec/golden/wiki-names.json");
    Ok(serde_json::from_str(file)?)
}

#[test]
fn there_are_sixty_five_distinct_names_that_holt_does_not_refuse() -> Result<()> {
    let names = names()?;
    let distinct: BTreeSet<&str> = names.iter().map(|one| one.name.as_str()).collect();
    let numbers: BTreeSet<u64> = names.iter().map(|one| one.sub).collect();
    assert_eq!((names.len(), distinct.len(), numbers.len()), (65, 65, 65));
    for name in &distinct {
        let refused = name.contains('/') || [".", ".."].contains(name);
        assert!(
            !refused && !name.is_empty() && name.len() <= 255,
            "{name:?}"
        );
        assert!(!name.chars().any(char::is_control), "{name:?}");
    }
    assert!(distinct.iter().any(|name| name.len() == 255));
    Ok(())
}

#[tokio::test]
async fn every_name_is_told_byte_for_byte() -> Result<()> {
    let wiki = wiki()?;
    let access = access(&wiki).await?;
    for one in names()? {
        wiki.rename(SUB, &one.name);
        let claims = part(&identify(&wiki, &access).await?, 1)?;
        let told = claims["username"].as_str().context("a name")?;
        assert_eq!(told.as_bytes(), one.name.as_bytes());
    }
    Ok(())
}
