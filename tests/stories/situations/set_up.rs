//! Other ways to be registered at a wiki.

use anyhow::{Context, Result, ensure};
use holt_tests::wiki::Consumer;

use super::{KEY, SECRET, Scene, said};

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_registration_signs_in() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let private = dir.path().join("consumer.pem");
    let private = private.to_str().context("a path of UTF-8")?;
    let generated = std::process::Command::new("openssl")
        .args([
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-out",
            private,
        ])
        .status()?;
    ensure!(generated.success());
    let public = std::process::Command::new("openssl")
        .args(["pkey", "-in", private, "-pubout"])
        .output()?;
    let public = String::from_utf8(public.stdout)?;
    type Register = Box<dyn Fn(&str) -> Consumer>;
    let rsa = move |back: &str| {
        Consumer::oauth1(KEY, SECRET, back)
            .with_public_key(&public)
            .expect("a public key")
    };
    let cases: Vec<(&str, Register, String)> = vec![
        (
            "a prefix for callbacks",
            Box::new(|back| Consumer::oauth1(KEY, SECRET, back).with_prefix()),
            "protocol = \"oauth1\"\ncallback = \"url\"".to_owned(),
        ),
        (
            "signed by RSA",
            Box::new(rsa),
            format!(
                "protocol = \"oauth1\"\nsignature = \"rsa-sha1\"\nprivate_key_file = \"{private}\""
            ),
        ),
        (
            "a public client",
            Box::new(|back| Consumer::oauth2_public(KEY, back)),
            "protocol = \"oauth2\"".to_owned(),
        ),
        (
            "asked for more than who one is",
            Box::new(|back| {
                Consumer::oauth2(KEY, SECRET, back).with_grants(&["basic", "editpage"])
            }),
            "protocol = \"oauth2\"\nscopes = [\"basic\", \"editpage\"]".to_owned(),
        ),
    ];
    for (what, register, provider) in cases {
        let scene = Scene::new(register, &provider, "").await.context(what)?;
        for _ in 0..2 {
            let somebody = scene.somebody()?;
            said(somebody.whole_way().await?, 200, "")
                .await
                .context(what)?;
            ensure!(somebody.person.who().await? == somebody.name);
        }
    }
    Ok(())
}

/// The wiki has a public name that is signed and issues statements, and is dialled elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_wiki_is_dialled_elsewhere_than_it_calls_itself() -> Result<()> {
    let provider = "protocol = \"oauth1\"\nindex_url = \"http://wiki.example/w/index.php\"\nconnect_to = \"{wiki}\"";
    let scene = Scene::new(|back| Consumer::oauth1(KEY, SECRET, back), provider, "").await?;
    scene.wiki.set_server("http://wiki.example");
    let somebody = scene.somebody()?;
    let mut to = somebody.begin().await?;
    ensure!(to.host_str() == Some("wiki.example"), "{to}");
    // The browser's name server knows where that is.
    let place: url::Url = scene.wiki.url().parse()?;
    to.set_host(place.host_str())?;
    to.set_port(place.port()).ok();
    let callback = somebody
        .visitor
        .comes_back(to.as_str(), holt_tests::wiki::Consent::Accept)
        .await?;
    said(somebody.back(&callback).await?, 200, "").await?;
    ensure!(somebody.person.who().await? == somebody.name);
    ensure!(scene.wiki.seen().iter().any(|seen| seen.what == "identify"));
    Ok(())
}
