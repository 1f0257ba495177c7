//! The environment of a single-user server, as JupyterHub 5 gives it.

use std::collections::BTreeMap;

use holt_spec::names::{escape_segment, server_prefix};

use super::{ServerSecrets, callback};

/// What the environment is made of.
pub struct EnvInput<'a> {
    /// Token and client of this launch.
    pub secrets: &'a ServerSecrets,
    /// The owner's name.
    pub user_name: &'a str,
    /// Empty for the default server.
    pub server_name: &'a str,
    /// Where servers reach the hub: `http://host:port`, without a path.
    pub internal_url: &'a str,
    /// What browsers call the hub: `https://host`, without a path.
    pub public_url: &'a str,
    /// Where the server shall listen: an address that is always explicit, since 4.1 takes none for loopback.
    pub bind_host: &'a str,
    /// The port it shall listen on.
    pub port: u16,
    /// Bytes.
    pub memory_limit: Option<u64>,
    /// Cores.
    pub cpu_limit: Option<f64>,
    /// Seconds between activity posts; `None`: the server's own default.
    pub activity_interval: Option<u64>,
    /// The first page: `/lab`.
    pub default_url: Option<&'a str>,
    /// The directory the server shows.
    pub root_dir: Option<&'a str>,
    /// The operator's own variables, which win.
    pub extra: &'a BTreeMap<String, String>,
}

/// The variables of a launch.
#[must_use]
pub fn environment(input: &EnvInput<'_>) -> BTreeMap<String, String> {
    let (user, server) = (input.user_name, input.server_name);
    let prefix = server_prefix(user, server);
    let internal = input.internal_url.trim_end_matches('/');
    let public = input.public_url.trim_end_matches('/');
    let access = serde_json::json!([
        format!("access:servers!server={user}/{server}"),
        format!("access:servers!user={user}"),
    ])
    .to_string();

    let mut env = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        env.insert(key.to_owned(), value);
    };
    set("JUPYTERHUB_API_TOKEN", input.secrets.api_token.clone());
    set("JPY_API_TOKEN", input.secrets.api_token.clone());
    set("JUPYTERHUB_CLIENT_ID", input.secrets.client_id.clone());
    set("JUPYTERHUB_USER", user.to_owned());
    set("JUPYTERHUB_SERVER_NAME", server.to_owned());
    set("JUPYTERHUB_API_URL", format!("{internal}/hub/api"));
    set(
        "JUPYTERHUB_ACTIVITY_URL",
        format!("{internal}/hub/api/users/{}/activity", escape_segment(user)),
    );
    set("JUPYTERHUB_BASE_URL", "/".to_owned());
    set("JUPYTERHUB_SERVICE_PREFIX", prefix.clone());
    set(
        "JUPYTERHUB_SERVICE_URL",
        format!("http://{}:{}{prefix}", input.bind_host, input.port),
    );
    set("JUPYTERHUB_HOST", String::new());
    set("JUPYTERHUB_OAUTH_CALLBACK_URL", callback(user, server));
    set("JUPYTERHUB_OAUTH_ACCESS_SCOPES", access.clone());
    set("JUPYTERHUB_OAUTH_SCOPES", access);
    set("JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES", "[]".to_owned());
    set("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", "0".to_owned());
    set("JUPYTERHUB_PUBLIC_URL", format!("{public}{prefix}"));
    set("JUPYTERHUB_PUBLIC_HUB_URL", format!("{public}/hub/"));
    // 4.1 takes tokens from any URL unless told not to.
    set("JUPYTERHUB_ALLOW_TOKEN_IN_URL", "0".to_owned());
    if public.starts_with("https://") {
        set(
            "JUPYTERHUB_COOKIE_OPTIONS",
            r#"{"secure": true, "samesite": "Lax"}"#.to_owned(),
        );
    }
    if let Some(bytes) = input.memory_limit {
        set("MEM_LIMIT", bytes.to_string());
    }
    if let Some(cores) = input.cpu_limit {
        set("CPU_LIMIT", format!("{cores:?}"));
    }
    if let Some(seconds) = input.activity_interval {
        set("JUPYTERHUB_ACTIVITY_INTERVAL", seconds.to_string());
    }
    if let Some(url) = input.default_url {
        set("JUPYTERHUB_DEFAULT_URL", url.to_owned());
    }
    if let Some(directory) = input.root_dir {
        set("JUPYTERHUB_ROOT_DIR", directory.to_owned());
    }
    env.extend(
        input
            .extra
            .iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_jupyterhubs() {
        let secrets = ServerSecrets {
            api_token: "TOKEN".into(),
            client_id: holt_spec::names::server_client_id("VRook (WMF)", "lab"),
        };
        let env = environment(&EnvInput {
            secrets: &secrets,
            user_name: "VRook (WMF)",
            server_name: "lab",
            internal_url: "http://172.30.0.1:8081/",
            public_url: "https://hub.example",
            bind_host: "0.0.0.0",
            port: 8888,
            memory_limit: Some(3_221_225_472),
            cpu_limit: Some(1.0),
            activity_interval: Some(60),
            default_url: Some("/lab"),
            root_dir: None,
            extra: &BTreeMap::from([("MEM_LIMIT".to_owned(), "own".to_owned())]),
        });
        let lines: Vec<String> = env
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        CPU_LIMIT=1.0
        JPY_API_TOKEN=TOKEN
        JUPYTERHUB_ACTIVITY_INTERVAL=60
        JUPYTERHUB_ACTIVITY_URL=http://172.30.0.1:8081/hub/api/users/VRook%20%28WMF%29/activity
        JUPYTERHUB_ALLOW_TOKEN_IN_URL=0
        JUPYTERHUB_API_TOKEN=TOKEN
        JUPYTERHUB_API_URL=http://172.30.0.1:8081/hub/api
        JUPYTERHUB_BASE_URL=/
        JUPYTERHUB_CLIENT_ID=jupyterhub-user-VRook%20%28WMF%29-lab
        JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED=0
        JUPYTERHUB_COOKIE_OPTIONS={"secure": true, "samesite": "Lax"}
        JUPYTERHUB_DEFAULT_URL=/lab
        JUPYTERHUB_HOST=
        JUPYTERHUB_OAUTH_ACCESS_SCOPES=["access:servers!server=VRook (WMF)/lab","access:servers!user=VRook (WMF)"]
        JUPYTERHUB_OAUTH_CALLBACK_URL=/user/VRook%20%28WMF%29/lab/oauth_callback
        JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES=[]
        JUPYTERHUB_OAUTH_SCOPES=["access:servers!server=VRook (WMF)/lab","access:servers!user=VRook (WMF)"]
        JUPYTERHUB_PUBLIC_HUB_URL=https://hub.example/hub/
        JUPYTERHUB_PUBLIC_URL=https://hub.example/user/VRook%20%28WMF%29/lab/
        JUPYTERHUB_SERVER_NAME=lab
        JUPYTERHUB_SERVICE_PREFIX=/user/VRook%20%28WMF%29/lab/
        JUPYTERHUB_SERVICE_URL=http://0.0.0.0:8888/user/VRook%20%28WMF%29/lab/
        JUPYTERHUB_USER=VRook (WMF)
        MEM_LIMIT=own
        "#);
    }
}
