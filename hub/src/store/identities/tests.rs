//! Accounts and their users: names, homes, and who is put out.

use super::*;

fn arrival<'a>(sub: &'a str, name: &'a str, wanted: &'a [String]) -> Arrival<'a> {
    Arrival {
        issuer: "https://wiki",
        sub,
        provider: "wiki",
        name,
        wanted,
        admin: None,
        is_confirmed: true,
        home: None,
    }
}

fn names(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn an_account_is_found_by_its_number_whatever_it_is_called() -> Result<(), StoreError> {
    let store = Store::in_memory().await?;
    let local = store.create_user("Rook", true, None).await?;
    let wanted = names(&["Rook", "Rook-wiki"]);
    let rook = store.arrive(arrival("7", "Rook", &wanted)).await?;
    assert_ne!(rook.id, local.id);
    assert_eq!((rook.name.as_str(), rook.admin), ("Rook-wiki", false));
    assert_eq!(store.arrive(arrival("7", "Rook", &wanted)).await?, rook);
    let wanted = names(&["Castle"]);
    let renamed = store.arrive(arrival("7", "Castle", &wanted)).await?;
    assert_eq!((renamed.id, renamed.name.as_str()), (rook.id, "Castle"));
    let by_old = store.user_by_former_name("Rook-wiki").await?;
    assert_eq!(by_old.map(|user| user.id), Some(rook.id));
    let other = names(&["Rook-wiki"]);
    store.arrive(arrival("8", "x", &other)).await?;
    assert_eq!(store.user_by_former_name("Rook-wiki").await?, None);
    assert!(matches!(
        store.arrive(arrival("9", "x", &other)).await,
        Err(StoreError::Taken)
    ));
    Ok(())
}

#[tokio::test]
async fn who_is_put_out_has_nothing_left_and_comes_back_when_unlocked() -> Result<(), StoreError> {
    let store = Store::in_memory().await?;
    let wanted = names(&["Rook"]);
    let user = store.arrive(arrival("7", "Rook", &wanted)).await?;
    store
        .create_session(
            user.id,
            "h",
            "s",
            std::time::Duration::from_secs(60),
            super::super::sessions::Origin::default(),
        )
        .await?;
    let claimed = store.claim_checks("wiki", 0, 10).await?;
    assert_eq!(claimed.len(), 1);
    assert!(store.claim_checks("wiki", 60_000, 10).await?.is_empty());
    let ended = store.put_out(&claimed[0], "locked").await?;
    assert_eq!(ended.sessions, ["s"]);
    let there = store.identity("https://wiki", "7").await?;
    assert_eq!(there.map(|it| it.standing), Some("locked".to_owned()));
    assert!(store.claim_checks("wiki", 0, 10).await?.is_empty());
    store.arrive(arrival("7", "Rook", &wanted)).await?;
    let there = store.identity("https://wiki", "7").await?;
    assert_eq!(there.map(|it| it.standing), Some("good".to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_home_called_after_the_account_is_nobody_elses() -> Result<(), StoreError> {
    let store = Store::in_memory().await?;
    let local = store.create_user("admin", true, None).await?;
    let sub = local.id.to_string();
    let wanted = names(&["Rook"]);
    let with_home = Arrival {
        home: Some(&sub),
        ..arrival(&sub, "Rook", &wanted)
    };
    store.arrive(with_home).await?;
    let homes: Vec<Option<String>> = sqlx::query_scalar("SELECT home FROM users ORDER BY id")
        .fetch_all(store.pool())
        .await?;
    assert_eq!(homes, [Some(format!("local-{sub}")), Some(sub.clone())]);
    Ok(())
}

#[tokio::test]
async fn only_servers_that_a_lock_ended_count_as_ended_by_it() -> Result<(), StoreError> {
    let store = Store::in_memory().await?;
    let wanted = names(&["Rook"]);
    let user = store.arrive(arrival("7", "Rook", &wanted)).await?;
    // One ran, one ended long ago, one never ran.
    for (name, launched, ended_at) in [
        ("runs", true, None),
        ("ran", true, Some(1)),
        ("never", false, None),
    ] {
        let id = store.ensure_server(user.id, name).await?;
        if launched {
            sqlx::query(
                "INSERT INTO launches (id, server_id, phase, phase_at, ticket, plan, created, ended_at) \
                 VALUES (?, ?, 'ready', 0, 0, '{}', 0, ?)",
            )
            .bind(name)
            .bind(id)
            .bind::<Option<i64>>(ended_at)
            .execute(store.pool())
            .await?;
        }
    }
    assert_eq!(store.servers_put_out("wiki", 60_000).await?, 0);
    let identity = store.identity("https://wiki", "7").await?;
    let identity = identity.ok_or(StoreError::Taken)?;
    store.put_out(&identity, "locked").await?;
    assert_eq!(store.servers_put_out("wiki", 60_000).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_number_that_is_the_name_of_a_home_is_no_second_ones_home() -> Result<(), StoreError> {
    let store = Store::in_memory().await?;
    let wanted = names(&["Rook", "Rook-2"]);
    for sub in ["2", "4"] {
        let with_home = Arrival {
            home: Some(sub),
            ..arrival(sub, "Rook", &wanted)
        };
        store.arrive(with_home).await?;
    }
    // The second's number is the first's home; and what is left of somebody who is gone is nobody else's either.
    let gone = store.identity("https://wiki", "4").await?;
    let gone = gone.ok_or(StoreError::Taken)?.user_id;
    store.delete_user(gone).await?;
    store.purge_users().await?;
    let third = store.create_user("third", false, None).await?;
    let fourth = store.create_user("fourth", false, None).await?;
    assert_eq!((gone, third.id, fourth.id), (2, 3, 4));
    let homes: Vec<String> =
        sqlx::query_scalar("SELECT coalesce(home, CAST(id AS TEXT)) FROM users ORDER BY id")
            .fetch_all(store.pool())
            .await?;
    assert_eq!(homes, ["2", "3", "local-4"]);
    Ok(())
}

#[tokio::test]
async fn who_is_deleted_may_come_back_at_once_to_their_home() -> Result<(), StoreError> {
    let store = Store::in_memory().await?;
    let wanted = names(&["Rook"]);
    let with_home = Arrival {
        home: Some("70"),
        ..arrival("70", "Rook", &wanted)
    };
    let first = store.arrive(with_home).await?;
    store.delete_user(first.id).await?;
    let second = store.arrive(with_home).await?;
    assert_ne!(first.id, second.id);
    assert_eq!(second.name, "Rook");
    assert!(store.old_homes(std::time::Duration::ZERO).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_name_that_somebody_waits_for_is_nobody_elses() -> Result<(), StoreError> {
    let store = Store::in_memory().await?;
    let wanted = names(&["Rook"]);
    let rook = store.arrive(arrival("7", "Rook", &wanted)).await?;
    let identity = store.identity("https://wiki", "7").await?;
    let identity = identity.ok_or(StoreError::Taken)?;
    let castle = names(&["Castle"]);
    store
        .note_good_standing(&identity, "Castle", &castle)
        .await?;
    let created = store.create_user("Castle", false, None).await;
    assert!(matches!(created, Err(StoreError::Taken)));
    let other = store.create_user("other", false, None).await?;
    let renamed = store.rename_user(other.id, "Castle").await;
    assert!(matches!(renamed, Err(StoreError::Taken)));
    // Had somebody got it all the same, they keep it, and nothing that the one who waited does fails of it.
    sqlx::query("UPDATE users SET name = 'Castle' WHERE id = ?")
        .bind(other.id)
        .execute(store.pool())
        .await?;
    let arrived = store.arrive(arrival("7", "Castle", &castle)).await?;
    assert_eq!((arrived.id, arrived.name.as_str()), (rook.id, "Rook"));
    assert_eq!(store.user_by_former_name("Rook").await?, None);
    Ok(())
}
