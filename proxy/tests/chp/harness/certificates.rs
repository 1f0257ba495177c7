//! Keys and certificates for one test, made with the `openssl` command.

use std::path::Path;
use std::process::{Command, Stdio};

/// A directory with an authority, and what it has signed.
///
/// `ca.crt`, `server.{key,crt}`, `client.{key,crt}`, `named.{key,crt}` for another name; `other.{key,crt}` and `stranger.{key,crt}` are of nobody's making;
/// `pkcs8.key` and `pkcs1.key` are the server's, locked with `secret`.
#[derive(Debug)]
pub(crate) struct Certificates {
    dir: tempfile::TempDir,
}

/// What the locked keys are opened with.
pub(crate) const PASSPHRASE: &str = "secret";

impl Certificates {
    pub(crate) fn made() -> Self {
        let made = Certificates {
            dir: tempfile::tempdir().unwrap(),
        };
        made.sign("ca", &[]);
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
        let by_ca = ["-CA", "ca.crt", "-CAkey", "ca.key"];
        made.sign("server", &[&by_ca[..], &["-addext", names]].concat());
        made.sign("client", &by_ca);
        made.sign(
            "named",
            &[&by_ca[..], &["-addext", "subjectAltName=DNS:named"]].concat(),
        );
        made.sign("other", &["-addext", names]);
        made.sign("stranger", &[]);
        let both =
            ["ca.crt", "other.crt"].map(|name| std::fs::read(made.dir.path().join(name)).unwrap());
        std::fs::write(made.dir.path().join("bundle.crt"), both.concat()).unwrap();
        made
    }

    /// Locks the server's key in both ways in which keys are locked.
    pub(crate) fn with_locked_keys(self) -> Self {
        let lock = format!("pass:{PASSPHRASE}");
        self.openssl(&["genrsa", "-out", "rsa.key", "2048"]);
        self.openssl(&[
            "req",
            "-x509",
            "-key",
            "rsa.key",
            "-out",
            "rsa.crt",
            "-days",
            "30",
            "-subj",
            "/CN=rsa",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ]);
        self.openssl(&[
            "rsa",
            "-in",
            "rsa.key",
            "-aes256",
            "-traditional",
            "-passout",
            &lock,
            "-out",
            "pkcs1.key",
        ]);
        self.openssl(&[
            "pkcs8",
            "-topk8",
            "-in",
            "server.key",
            "-passout",
            &lock,
            "-out",
            "pkcs8.key",
        ]);
        self
    }

    fn sign(&self, name: &str, more: &[&str]) {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let subject = format!("/CN={name}");
        let mut args = vec![
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &certificate,
            "-days",
            "30",
            "-subj",
            &subject,
        ];
        args.extend(more);
        self.openssl(&args);
    }

    fn openssl(&self, args: &[&str]) {
        let output = Command::new("openssl")
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("openssl cannot be run ({error}). Install it (Debian: openssl), or run tests/run, which does"));
        assert!(
            output.status.success(),
            "openssl {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file's path, as an argument.
    pub(crate) fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}
