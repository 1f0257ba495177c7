//! A notebook that tries everything else: refused, and without effect on others.

use anyhow::{Result, ensure};
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wiki::{Often, Place, Trouble};

use super::{RAW, acting};

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_notebook_gets_nothing_but_its_own_api() -> Result<()> {
    let (hub, wiki, person) = acting(
        "oauth1",
        "requests_per_second = 5\nburst = 20\nconcurrent = 3",
    )
    .await?;
    wiki.account(7_000_004, "Other user");
    let other = Person::by_wiki(&hub, "Other user").await?;
    other.start("").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    let mut others = Kernel::started(&other, "").await?;
    kernel.run(RAW).await?;
    others.run(RAW).await?;
    wiki.forget_seen();
    // Addresses, parameters, methods.
    let said = kernel
        .run(
            "urls = [\n\
                 'https://en.wikipedia.org/w/api.php', api.replace('/w/api.php', '.evil.example/w/api.php'), api.replace('http://', 'http://x@'),\n\
                 api.replace('/w/api.php', '@evil.example/w/api.php'), api.replace('127.0.0.1', 'localhost'), api.replace('http:', 'https:'),\n\
                 api.replace('api.php', 'index.php?title=Special:OAuth/identify'), api.replace('api.php', '../w/index.php'),\n\
                 api + '/../index.php', api + '?title=Special:OAuth/identify', api + '?oauth_token=x', api + '?action=query&action=edit',\n\
                 rest + '/oauth2/resource/profile', rest + '/%6fauth2/resource/profile', rest + '/v1/%2e%2e/oauth2/access_token', api + '#x',\n\
                 api + '?action=centralauthtoken', api + '?action=clientlogin', 'file:///etc/passwd', 'http://169.254.169.254/', '', 'x' * 30000,\n\
             ]\n\
             print({raw(url) for url in urls})\n\
             print(raw(api, 'CONNECT'), raw(api, 'PUT'), raw(api, 'GET /x HTTP/1.1'), raw(api, token='x' * 43), raw(api, token=''))\n\
             print(raw(api + '?action=query', 'POST', data={'action': 'edit'}), raw(api, 'POST', files={'x': b'y'}, data={'action': 'login'}))",
        )
        .await?;
    let mut lines = said.lines();
    ensure!(lines.next() == Some("{(400, 'not-sent')}"), "{said}");
    ensure!(
        lines.next()
            == Some(
                "(400, 'not-sent') (400, 'not-sent') (400, 'not-sent') (403, 'not-sent') (403, 'not-sent')"
            ),
        "{said}"
    );
    ensure!(
        lines.next() == Some("(400, 'not-sent') (400, 'not-sent')"),
        "{said}"
    );
    ensure!(wiki.seen().is_empty(), "{:?}", wiki.seen());
    // What goes along, and what comes back.
    let said = kernel
        .run(
            "headers = {'Cookie': 'a=b', 'X-Forwarded-For': '6.6.6.6', 'X-Holt-Listener': 'public', 'Transfer-Encoding': 'x'}\n\
             headers.pop('Transfer-Encoding')\n\
             print(raw(api + '?action=query&meta=userinfo&uiprop=rights', headers=headers))",
        )
        .await?;
    ensure!(said.trim() == "(200, 'answered')", "{said}");
    // A redirect is not followed.
    wiki.forget_seen();
    let to = format!("{}/w/index.php?title=Special:OAuth/identify", wiki.url());
    wiki.cause(
        Place::At("siteinfo".to_owned()),
        Often::Times(1),
        Trouble::Moved { status: 302, to },
    );
    let said = kernel
        .run("print(raw(api + '?action=query&meta=siteinfo&siprop=general'))")
        .await?;
    ensure!(said.trim() == "(302, 'answered')", "{said}");
    ensure!(wiki.count("identify") == 0 && wiki.seen().len() == 1);
    // Somebody else's token, and from outside.
    let token = kernel.run("print(token)").await?;
    let said = others
        .run(&format!(
            "print(raw(api + '?action=query', token={:?}))",
            token.trim()
        ))
        .await?;
    ensure!(said.trim() == "(403, 'not-sent')", "{said}");
    let outside = person
        .post("/hub/api/broker", &[("x", "y")])
        .await?
        .status();
    ensure!(outside == 404, "{outside}");
    // Flooding: this one waits or is refused, the other one does not notice.
    let flooding = kernel.run(
        "import concurrent.futures\n\
         with concurrent.futures.ThreadPoolExecutor(60) as pool:\n    \
             answers = list(pool.map(lambda number: raw(api + '?action=query&meta=tokens&type=csrf'), range(60)))\n\
         print(sorted(set(answers)))",
    );
    let quiet = async {
        let mut slowest = 0.0_f64;
        for _ in 0..10 {
            let took = others
                .run("import time\nbegun = time.monotonic()\nassert raw(api + '?action=query&meta=tokens&type=csrf')[0] == 200\nprint(time.monotonic() - begun)")
                .await?;
            slowest = slowest.max(took.trim().parse()?);
        }
        anyhow::Ok(slowest)
    };
    let (flood, slowest) = tokio::try_join!(flooding, quiet)?;
    ensure!(
        flood.trim() == "[(200, 'answered'), (429, 'not-sent')]",
        "{flood}"
    );
    ensure!(slowest < 1.0, "the other one waited {slowest} s");
    Ok(())
}

/// Code for a notebook: a multipart body as bytes.
const PARTS: &str = "def head(name):\n    \
        return b'--b\\r\\nContent-Disposition: form-data; ' + name + b'\\r\\n\\r\\n'\n\
    def part(name, value):\n    \
        return head(name) + value + b'\\r\\n'\n\
    def send(*parts, kind='multipart/form-data; boundary=b', query='?action=upload'):\n    \
        return raw(api + query, 'POST', data=b''.join(parts) + b'--b--\\r\\n', headers={'Content-Type': kind})\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_is_closed_is_not_hidden_in_a_body() -> Result<()> {
    let (_hub, wiki, person) = acting("oauth2", "").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel.run(RAW).await?;
    kernel.run(PARTS).await?;
    wiki.forget_seen();
    let said = kernel
        .run(
            "closed = part(b'name=\"action\"', b'centralauthtoken')\n\
             print({\n\
                 send(part(b'name=\"action\"', b'query'), closed), send(part(b'name=\"action\"', b'query'), closed, query=''), send(closed),\n\
                 *(send(part(name, b'centralauthtoken')) for name in [b'NAME=\"action\"', b\"name='action'\", b'name= \"action\"', b'name=\" action\"', b'name=action; x=y']),\n\
                 send(closed, kind='multipart/form-data,boundary=b'), send(part(b'name=\"oauth_token\"', b'x')), send(part(b'name=\"access_token\"', b'x')),\n\
                 *(raw(api + '?action=query', 'POST', data=b'action=centralauthtoken', headers={'Content-Type': kind})\n\
                   for kind in ['application/x-www-form-urlencoded,x', 'application/x-www-form-urlencoded x', b'application/x-www-form-urlencoded; x=\\xff']),\n\
             })",
        )
        .await?;
    ensure!(said.trim() == "{(400, 'not-sent')}", "{said}");
    ensure!(wiki.seen().is_empty(), "{:?}", wiki.seen());
    // Behind what is looked at before anything is sent: the wiki never gets the body whole.
    let said = kernel
        .run("print(send(part(b'name=\"text\"', b'x' * 400_000), closed))")
        .await?;
    ensure!(
        said.contains("'unknown'") || said.contains("'not-sent'"),
        "{said}"
    );
    ensure!(wiki.count("centralauthtoken") == 0, "{:?}", wiki.seen());
    // And what is lawful goes on, however long.
    let said = kernel
        .run(
            "print(send(part(b'name=\"text\"', b'x' * 400_000), part(b'name=\"more\"', b'y'), query='?action=query&meta=tokens')[1])",
        )
        .await?;
    ensure!(said.trim() == "answered", "{said}");
    Ok(())
}
