//! What was sent, for people's programs: who may see and stop it, and what happens twice, to strangers, and after the end.

use anyhow::{Context as _, Result, ensure};
use holt_tests::hub::Hub;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use reqwest::Method;
use serde_json::Value;

use super::{RAW, SOON, acting};

async fn status(person: &Person, method: Method, path: &str) -> Result<u16> {
    Ok(person.api(method, path, None).await?.status().as_u16())
}

/// What the API tells somebody.
async fn told(person: &Person) -> Result<Value> {
    let answer = person
        .api(Method::GET, "/hub/api/broker/requests", None)
        .await?;
    let status = answer.status();
    ensure!(status == 200, "{status}");
    Ok(answer.json().await?)
}

fn list<'a>(told: &'a Value, name: &str) -> &'a [Value] {
    told[name].as_array().map_or(&[], Vec::as_slice)
}

async fn of_administrator(hub: &Hub) -> Result<Person> {
    Person::by_link(hub, hub.link()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_the_owner_sees_stops_and_allows_and_nobody_elses_does() -> Result<()> {
    let (hub, wiki, person) = acting("oauth2", "").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel.run(RAW).await?;
    let ask = "print(raw(api + '?action=query&meta=userinfo&uiprop=rights'))";
    ensure!(kernel.run(ask).await?.trim() == "(200, 'answered')");
    let seen = eventually("it is told", SOON, || async {
        match told(&person).await {
            Ok(told) if list(&told, "requests").len() == 1 => Ok(told),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    let request = &list(&seen, "requests")[0];
    for (field, value) in [
        ("module", "query"),
        ("method", "GET"),
        ("outcome", "answered"),
    ] {
        ensure!(request[field] == value, "{field}: {request}");
    }
    ensure!(
        request["status"] == 200 && request["code"].is_null(),
        "{request}"
    );
    ensure!(!seen.to_string().contains("userinfo"), "{seen}");
    let launch = list(&seen, "launches")[0]["launch"]
        .as_str()
        .context("a launch")?
        .to_owned();
    ensure!(list(&seen, "launches")[0]["halted"] == false, "{seen}");
    let path = format!("/hub/api/broker/halts/{launch}");

    // Others see nothing of it, and move nothing: not somebody else, not an administrator, not who is not signed in.
    wiki.account(7_000_004, "Other user");
    let other = Person::by_wiki(&hub, "Other user").await?;
    let administrator = of_administrator(&hub).await?;
    for somebody in [&other, &administrator] {
        let told = told(somebody).await?;
        ensure!(
            list(&told, "requests").is_empty() && list(&told, "launches").is_empty(),
            "{told}"
        );
        for method in [Method::PUT, Method::DELETE] {
            ensure!(status(somebody, method, &path).await? == 404);
        }
    }
    let stranger = Person::stranger(&hub)?;
    for (method, path) in [
        (Method::GET, "/hub/api/broker/requests"),
        (Method::PUT, path.as_str()),
        (Method::DELETE, path.as_str()),
    ] {
        let status = status(&stranger, method, path).await?;
        ensure!(status == 403 || status == 401, "{path}: {status}");
    }
    ensure!(kernel.run(ask).await?.trim() == "(200, 'answered')");

    // Twice is as once.
    for _ in 0..2 {
        ensure!(status(&person, Method::PUT, &path).await? == 204);
        ensure!(kernel.run(ask).await?.trim() == "(403, 'not-sent')");
        ensure!(list(&told(&person).await?, "launches")[0]["halted"] == true);
    }
    // Somebody else does not allow it again, and the server itself neither.
    ensure!(status(&other, Method::DELETE, &path).await? == 404);
    let server = format!(
        "headers = {{'Authorization': 'token ' + os.environ['JUPYTERHUB_API_TOKEN']}}\n\
         print([requests.request(method, os.environ['JUPYTERHUB_API_URL'] + '/broker/halts/{launch}', headers=headers).status_code\n\
         for method in ('PUT', 'DELETE')])"
    );
    let said = kernel.run(&server).await?;
    ensure!(said.trim() == "[403, 403]", "{said}");
    ensure!(kernel.run(ask).await?.trim() == "(403, 'not-sent')");
    for _ in 0..2 {
        ensure!(status(&person, Method::DELETE, &path).await? == 204);
        ensure!(kernel.run(ask).await?.trim() == "(200, 'answered')");
    }

    // A launch that never was, and one that is over.
    for unknown in ["x", "00000000-0000-0000-0000-000000000000", "%20", "..%2f"] {
        let path = format!("/hub/api/broker/halts/{unknown}");
        let status = status(&person, Method::PUT, &path).await?;
        ensure!(status == 404 || status == 400, "{unknown}: {status}");
    }
    person.ask_stop("").await?;
    person.until_stopped("", SOON).await?;
    let rows = hub.rows().await?;
    eventually("its grant is gone", SOON, || async {
        match rows.count("SELECT count(*) FROM broker_grants").await {
            Ok(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    for method in [Method::PUT, Method::DELETE] {
        ensure!(status(&person, method, &path).await? == 404);
    }
    let after = told(&person).await?;
    ensure!(list(&after, "launches").is_empty(), "{after}");
    ensure!(!list(&after, "requests").is_empty(), "{after}");
    Ok(())
}
