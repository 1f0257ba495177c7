//! The example notebook reads a real dump, small, in a real server.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, ensure};
use holt_tests::docker;
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use tempfile::TempDir;

use super::{dumps_from, hub};

/// A dump in MediaWiki's export schema 0.11: these pages, some of them redirects or talk pages.
fn export(wiki: &str, pages: Range<usize>) -> String {
    let mut xml = format!(
        r#"<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://www.mediawiki.org/xml/export-0.11/ http://www.mediawiki.org/xml/export-0.11.xsd" version="0.11" xml:lang="en">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <dbname>{wiki}</dbname>
    <base>https://example.org/wiki/Main_Page</base>
    <generator>MediaWiki 1.45.0-wmf.1</generator>
    <case>first-letter</case>
    <namespaces>
      <namespace key="0" case="first-letter" />
      <namespace key="1" case="first-letter">Talk</namespace>
    </namespaces>
  </siteinfo>
"#
    );
    for number in pages {
        let (title, namespace, redirect) = match number % 10 {
            1 => (format!("Talk:Page {number}"), 1, ""),
            2 => (
                format!("Other {number}"),
                0,
                "    <redirect title=\"Page 3\" />\n",
            ),
            _ => (format!("Page {number} \u{e4}&amp;"), 0, ""),
        };
        let text =
            format!("'''Page {number}''' is [[linked]] to [[Page 3|another]]. ").repeat(number);
        xml.push_str(&format!(
            r#"  <page>
    <title>{title}</title>
    <ns>{namespace}</ns>
    <id>{id}</id>
{redirect}    <revision>
      <id>{revision}</id>
      <parentid>{id}</parentid>
      <timestamp>20{year:02}-03-04T05:06:07Z</timestamp>
      <contributor>
        <username>Rook</username>
        <id>7</id>
      </contributor>
      <comment>a word</comment>
      <origin>{revision}</origin>
      <model>wikitext</model>
      <format>text/x-wiki</format>
      <text bytes="{bytes}" sha1="phoiac9h4m842xq45sp7s6u21eteeq1" xml:space="preserve">{text}</text>
      <sha1>phoiac9h4m842xq45sp7s6u21eteeq1</sha1>
    </revision>
  </page>
"#,
            id = number + 1,
            revision = number + 1000,
            year = 10 + number % 15,
            bytes = text.len(),
        ));
    }
    xml.push_str("</mediawiki>\n");
    xml
}

/// Packs the parts of a dump in a container that has the programs for it.
pub(super) async fn pack(
    source: &Path,
    wiki: &str,
    ending: &str,
    parts: &[Range<usize>],
) -> Result<()> {
    let folder = source.join(format!("{wiki}/20260101"));
    std::fs::create_dir_all(&folder)?;
    for (place, pages) in parts.iter().enumerate() {
        let name = format!(
            "{wiki}-20260101-pages-articles{}.xml-p{}p{}",
            place + 1,
            pages.start + 1,
            pages.end
        );
        std::fs::write(folder.join(&name), export(wiki, pages.clone()))?;
    }
    let script = match ending {
        "bz2" => "cd /s && bzip2 *.xml-*",
        _ => {
            "cd /s && for f in *.xml-*; do 7z a -bd \"$f.7z\" \"$f\" >/dev/null && rm \"$f\"; done"
        }
    };
    let volume = format!("{}:/s", folder.display());
    let image = images::single_user().await?;
    let run = ["run", "--rm", "--network", "none", "--user", "0"];
    let what = [
        "--volume",
        &volume,
        "--entrypoint",
        "sh",
        &image,
        "-c",
        script,
    ];
    docker::docker(&[&run[..], &what[..]].concat()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_notebook_reads_a_dump_of_several_parts_and_draws_it() -> Result<()> {
    let source = TempDir::new()?;
    docker::engine_answers().await?;
    pack(source.path(), "simplewiki", "bz2", &[0..120, 120..200]).await?;
    pack(source.path(), "testwiki", "7z", &[0..100, 100..150]).await?;
    let hub = hub(&dumps_from(source.path())).await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    // A new home has the notebook.
    let path = format!("{}api/contents/examples/dumps.ipynb", rook.prefix(""));
    let answer = rook.api(reqwest::Method::GET, &path, None).await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    let notebook: serde_json::Value = serde_json::from_str(&answer.text().await?)?;
    let cells: Vec<String> = notebook["content"]["cells"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|cell| cell["cell_type"] == "code")
        .filter_map(|cell| cell["source"].as_str().map(str::to_owned))
        .collect();
    ensure!(cells.len() == 4, "{} cells", cells.len());
    for (wiki, articles) in [("simplewiki", 160), ("testwiki", 120)] {
        let mut kernel = Kernel::started(&rook, "").await?;
        let mut printed = Vec::new();
        for cell in &cells {
            let code = cell.replace("\"simplewiki\"", &format!("{wiki:?}"));
            printed.push(kernel.run(&code).await?);
        }
        ensure!(printed[0].contains("2 files"), "{}", printed[0]);
        let read = &printed[1];
        ensure!(read.contains(&format!("{articles} articles")), "{read}");
        ensure!(
            read.contains("100%"),
            "the bar did not reach its end: {read}"
        );
        ensure!(printed[2].contains("characters"), "{}", printed[2]);
        ensure!(printed[3].contains("<Figure size"), "{}", printed[3]);
    }
    Ok(())
}
