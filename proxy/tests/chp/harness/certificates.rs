//! Keys and certificates for one test, made with the `openssl` command.

use std::path::Path;
use std::process::{Command, Stdio};

/// A directory with an authority, and what it has signed.
///
/// `ca`, and by it `server`, `client`, `named` (for another name) and `careless` (for the server's names, but fit to sign);
/// `other` and `stranger` have signed themselves: each is `NAME.key` and `NAME.crt`.
/// `bundle.crt` is `ca` and `other`; `dh.pem` is a well known group.
#[derive(Debug)]
pub(crate) struct Certificates {
    dir: tempfile::TempDir,
}

/// What the locked keys are opened with.
pub(crate) const PASSPHRASE: &str = "secret";

const CONFIG: &str = "[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
[leaf]
basicConstraints = critical, CA:FALSE
";
const NAMES: &str = "-addext subjectAltName=DNS:localhost,IP:127.0.0.1";
const BY_CA: &str = "-CA ca.crt -CAkey ca.key";

impl Certificates {
    pub(crate) fn made() -> Self {
        let made = Certificates {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::write(made.dir.path().join("openssl.cnf"), CONFIG).unwrap();
        made.openssl("genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out dh.pem");
        made.sign("ca", "-extensions ca");
        made.sign("server", &format!("-extensions leaf {BY_CA} {NAMES}"));
        made.sign("careless", &format!("-extensions ca {BY_CA} {NAMES}"));
        made.sign("client", &format!("-extensions leaf {BY_CA}"));
        made.sign(
            "named",
            &format!("-extensions leaf {BY_CA} -addext subjectAltName=DNS:named"),
        );
        // As most people make one for themselves.
        made.sign("other", &format!("-extensions ca {NAMES}"));
        made.sign("stranger", "-extensions ca");
        let both =
            ["ca.crt", "other.crt"].map(|name| std::fs::read(made.dir.path().join(name)).unwrap());
        std::fs::write(made.dir.path().join("bundle.crt"), both.concat()).unwrap();
        made
    }

    /// Adds `pkcs8.key`, which is the server's, and `pkcs1.key` with `rsa.crt`, both locked, each in its own way.
    pub(crate) fn with_locked_keys(self) -> Self {
        self.openssl("genrsa -out rsa.key 2048");
        self.openssl(&format!(
            "req -x509 -config openssl.cnf -key rsa.key -out rsa.crt -days 30 -subj /CN=rsa -extensions leaf {BY_CA} {NAMES}"
        ));
        self.openssl(&format!(
            "rsa -in rsa.key -aes256 -traditional -passout pass:{PASSPHRASE} -out pkcs1.key"
        ));
        self.openssl(&format!(
            "pkcs8 -topk8 -in server.key -passout pass:{PASSPHRASE} -out pkcs8.key"
        ));
        self
    }

    fn sign(&self, name: &str, more: &str) {
        self.openssl(&format!(
            "req -x509 -config openssl.cnf -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.crt -days 30 -subj /CN={name} {more}"
        ));
    }

    fn openssl(&self, line: &str) {
        let output = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("openssl cannot be run ({error}). Install it (Debian: openssl), or run tests/run, which does"));
        assert!(
            output.status.success(),
            "openssl {line}: {}",
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
