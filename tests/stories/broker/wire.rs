//! A notebook that writes its own bytes, and another user in its container: no request but those that are described is made, and nobody
//! else sends any.

use anyhow::{Result, ensure};
use holt_tests::docker::{self, docker};
use holt_tests::kernel::Kernel;

use super::{RAW, acting, container};

/// Writes bytes to the broker and prints the status of every answer that comes back.
const WIRE: &str = r"
import socket, re, urllib.parse
at = urllib.parse.urlsplit(os.environ['HOLT_BROKER_URL'])
def wire(head, body=b'', start='POST /hub/api/broker HTTP/1.1'):
    lines = [start, 'Host: ' + at.netloc, *head, '', '']
    with socket.create_connection((at.hostname, at.port), 10) as connection:
        connection.sendall('\r\n'.join(lines).encode('latin-1') + body)
        connection.settimeout(3)
        back = b''
        try:
            while piece := connection.recv(65536):
                back += piece
        except TimeoutError:
            pass
        except ConnectionResetError:
            back = back or b'HTTP/1.1 reset'
    return re.findall(rb'HTTP/1\.1 (\w+)', back)
ours, url = 'Authorization: Bearer ' + token, api + '?action=query&meta=userinfo&uiprop=rights'
plain = [ours, 'Holt-Method: GET', 'Holt-Url: ' + url]
empty = ['Content-Length: 0', 'Connection: close']
inner = ('POST /hub/api/broker HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\nHolt-Method: GET\r\nHolt-Url: ' + url + '\r\n\r\n').encode()
chunked = b'0\r\n\r\n' + inner
";

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_ones_own_smuggle_nothing() -> Result<()> {
    let (_hub, wiki, person) = acting(
        "oauth2",
        "requests_per_second = 1000\nburst = 1000\nconcurrent = 20",
    )
    .await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel.run(RAW).await?;
    kernel.run(WIRE).await?;
    ensure!(kernel.run("print(wire(plain + empty))").await? == "[b'200']");
    wiki.forget_seen();
    // Each is refused, once, and nothing of it reaches the wiki.
    for (what, call) in [
        ("a folded line", "wire(plain + ['X-A: b\\r\\n c'] + empty)"),
        (
            "a folded method",
            "wire([ours, 'Holt-Method: GET\\r\\n Holt-Url: ' + url] + empty)",
        ),
        (
            "a bare line feed",
            "wire([ours, 'Holt-Method: GET\\nHolt-Url: ' + url] + empty)",
        ),
        (
            "a bare carriage return",
            "wire([ours, 'Holt-Method: GET\\rHolt-Url: ' + url] + empty)",
        ),
        (
            "two addresses",
            "wire(plain + ['Holt-Url: ' + url] + empty)",
        ),
        ("two methods", "wire(plain + ['Holt-Method: POST'] + empty)"),
        (
            "a length and chunks",
            "wire(plain + ['Content-Length: 4', 'Transfer-Encoding: chunked'], chunked)",
        ),
        (
            "two lengths",
            "wire(plain + ['Content-Length: 0', f'Content-Length: {len(inner)}'], inner)",
        ),
        (
            "chunks in another spelling",
            "wire(plain + ['Transfer-Encoding: xchunked'], chunked)",
        ),
        (
            "a blank before the colon",
            "wire(plain + ['Transfer-Encoding : chunked', 'Content-Length: 0'], chunked)",
        ),
        (
            "a length with a sign",
            "wire(plain + ['Content-Length: +0'], inner)",
        ),
        ("two tokens", "wire(plain + [ours] + empty)"),
        (
            "no token, behind another's request",
            "wire([*plain[1:], 'Content-Length: 0'], inner)",
        ),
        (
            "another path",
            "wire(plain + empty, start='POST /hub/api/broker/../broker HTTP/1.1')",
        ),
    ] {
        let said = kernel.run(&format!("print(*{call})")).await?;
        let refused = |status: &str| {
            matches!(
                status,
                "b'400'" | "b'403'" | "b'404'" | "b'501'" | "b'reset'"
            )
        };
        ensure!(
            !said.is_empty() && said.split(' ').all(refused),
            "{what}: {said}"
        );
        ensure!(wiki.seen().is_empty(), "{what}: {:?}", wiki.seen());
    }
    // A second request on the same connection needs a token of its own.
    let said = kernel
        .run("print(*wire(plain + ['Content-Length: 0'], inner))")
        .await?;
    ensure!(said == "b'200' b'403'", "{said}");
    ensure!(wiki.seen().len() == 1, "{:?}", wiki.seen());
    // By the library: line ends in an address are data there, and elsewhere nothing is sent.
    wiki.forget_seen();
    let said = kernel
        .run(
            "session = holt_broker.session()\n\
             def tried(**named):\n    \
                 try:\n        \
                     return session.request(**{'method': 'GET', 'url': api, **named}).status_code\n    \
                 except (requests.RequestException, ValueError) as error:\n        \
                     return 'refused'\n\
             print(tried(url=url + '&x=\\r\\nHost: evil.example\\r\\n\\r\\nGET / HTTP/1.1'),\n       \
                 tried(params={'action': 'query', 'meta': 'userinfo', 'x': '\\r\\nX-Evil: 1'}))\n\
             print(tried(url=api + '\\r\\nX-Evil: 1'), tried(url=api + '/\\r\\n/x'), tried(method='GET\\r\\n Holt-Url: http://evil.example/'),\n       \
                 tried(method='GET\\r\\nHolt-Url: x'), tried(headers={'Accept': 'x\\r\\nHolt-Url: y'}), tried(headers={'Holt-Url\\r\\nX': 'y'}),\n       \
                 tried(headers={'Accept': 'x\\n Holt-Url: y'}))\n\
             print(tried(headers={'Holt-Url': 'http://evil.example/', 'Holt-Method': 'DELETE', 'Authorization': 'Bearer x', 'Cookie': 'a=b'},\n       \
                 params={'action': 'query', 'meta': 'userinfo'}))",
        )
        .await?;
    let lines: Vec<&str> = said.lines().collect();
    ensure!(
        lines
            == [
                "200 200",
                "refused refused refused refused refused refused refused",
                "200"
            ],
        "{said}"
    );
    ensure!(
        wiki.seen().len() == 3
            && wiki
                .seen()
                .iter()
                .all(|seen| seen.method == "GET" && seen.path == "/w/api.php"),
        "{:?}",
        wiki.seen()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_in_the_container_has_no_way_to_the_wiki() -> Result<()> {
    let (hub, wiki, person) = acting("oauth2", "").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel.run(RAW).await?;
    let broker = kernel
        .run("print(os.environ['HOLT_BROKER_URL'], api)")
        .await?;
    let (broker, api) = broker.split_once(' ').unwrap_or_default();
    let container = container(&hub).await?;
    // Whose token it is can read it; this proves the next lines look in the right places.
    let token = docker::exec(&container, &["cat", "/run/holt/broker/token"]).await?;
    ensure!(token.trim().len() == 43, "{token}");
    wiki.forget_seen();
    let line = format!(
        "cat /run/holt/broker/token /proc/[0-9]*/environ /proc/[0-9]*/mem 2>/dev/null | head -c 100; \
         ls /proc/[0-9]*/fd/ 2>/dev/null | grep -c '[0-9]$'; \
         for token in '' x {}; do curl -s -o /dev/null -w '%{{http_code}} ' -X POST -H \"Authorization: Bearer $token\" -H 'Holt-Method: GET' \
         -H 'Holt-Url: {api}?action=query' {broker}; done",
        "y".repeat(43)
    );
    let said = docker(&["exec", "-u", "12345:12345", &container, "sh", "-c", &line]).await?;
    let last = said.lines().last().unwrap_or_default();
    ensure!(last == "403 403 403 " || last == "403 403 403", "{said}");
    ensure!(
        !said.contains("HOLT_") && !said.contains(token.trim()),
        "{said}"
    );
    ensure!(wiki.seen().is_empty(), "{:?}", wiki.seen());
    Ok(())
}
