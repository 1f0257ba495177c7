//! Files go to the wiki: in one piece and in many, by both protocols, and larger than the hub may hold.

use anyhow::{Result, ensure};
use holt_tests::kernel::Kernel;
use holt_tests::wiki::{Often, Place, Trouble};

use super::{NAME, acting};

/// Every mebibyte ends in a carriage return, which PHP eats at the end of a part where lines end as pywikibot ends them: then a piece is one
/// byte short, and the wiki asks for it again.
const FILE: &str = "import pywikibot\n\
    pywikibot.config.put_throttle = 0\n\
    piece = (bytes(range(256)) * 4096)[:-1] + b'\\r'\n\
    content = piece * 3 + b'end\\r\\n\\r.'\n\
    open('picture.png', 'wb').write(content)\n\
    def upload(name, size):\n    \
        page = pywikibot.FilePage(pywikibot.Site(), 'File:' + name)\n    \
        print(page.upload('picture.png', comment='Trying out', ignore_warnings=True, chunk_size=size))\n";

fn file() -> Vec<u8> {
    let mut piece: Vec<u8> = (0..=255).cycle().take(256 * 4096).collect();
    if let Some(last) = piece.last_mut() {
        *last = b'\r';
    }
    let mut content = piece.repeat(3);
    content.extend(b"end\r\n\r.");
    content
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_uploaded_whole_and_in_pieces() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let (_hub, wiki, person) = acting(protocol, "").await?;
        let mut kernel = Kernel::started(&person, "").await?;
        kernel.run(FILE).await?;
        // More than the proxy holds, so it streams.
        let said = kernel.run("upload('Whole.png', 0)").await?;
        ensure!(said.contains("True"), "{protocol}: {said}");
        // The wiki asks for the end of each piece again, from where it stands.
        let said = kernel.run("upload('Pieces.png', 1024 * 1024)").await?;
        ensure!(said.contains("True"), "{protocol}: {said}");
        let said = kernel.run("upload('Small pieces.png', 100_000)").await?;
        ensure!(said.contains("True"), "{protocol}: {said}");
        let uploads = wiki.uploads();
        let found: Vec<(&str, &str, bool)> = uploads
            .iter()
            .map(|upload| {
                (
                    upload.name.as_str(),
                    upload.user.as_str(),
                    upload.pieces > 1,
                )
            })
            .collect();
        ensure!(
            found
                == [
                    ("Whole.png", NAME, false),
                    ("Pieces.png", NAME, true),
                    ("Small_pieces.png", NAME, true)
                ],
            "{protocol}: {found:?} {said}"
        );
        for upload in &uploads {
            ensure!(
                upload.content == file(),
                "{protocol}: {} has {} bytes in {} pieces",
                upload.name,
                upload.content.len(),
                upload.pieces
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_whose_answer_is_lost_is_not_sent_again_and_the_upload_goes_on_from_there()
-> Result<()> {
    let (_hub, wiki, person) = acting("oauth1", "").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel.run(FILE).await?;
    wiki.cause(
        Place::At("upload".to_owned()),
        Often::Times(1),
        Trouble::AnswerLost,
    );
    let said = kernel
        .run(
            "import holt_broker\n\
             site = holt_broker.mwclient()\n\
             site.chunk_size = 1024 * 1024\n\
             def send():\n    \
                 try:\n        \
                     print(site.upload(open('picture.png', 'rb'), 'Lost.png', 'words', ignore=True)['upload']['result'])\n    \
                 except holt_broker.OutcomeUnknown as error:\n        \
                     print(error)\n\
             send()",
        )
        .await?;
    ensure!(said.contains("look there before you ask again"), "{said}");
    ensure!(
        wiki.count("upload") == 1 && wiki.uploads().is_empty(),
        "{:?}",
        wiki.seen()
    );
    let said = kernel.run("send()").await?;
    ensure!(said == "Success", "{said}");
    ensure!(wiki.uploads().len() == 1 && wiki.uploads()[0].content == file());
    Ok(())
}
