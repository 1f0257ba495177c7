//! What launches speak to the hub with: tokens and OAuth clients, and where they meet it.

use std::collections::BTreeMap;
use std::sync::RwLock;

use async_trait::async_trait;

use crate::config::Settings;
use crate::oauth_provider::{EnvInput, ServerClient};
use crate::servers::{Credentials, ServerRow};
use crate::spawner::{LaunchPlan, Meeting};
use crate::store::{Store, StoreError};

/// Tokens and OAuth clients for launches.
pub(super) struct ServerCredentials {
    store: Store,
    public_url: String,
    default_url: String,
    environment: BTreeMap<String, String>,
    /// Seconds between a server's posts that it is used; none is its own default of five minutes.
    activity_interval: Option<u64>,
    /// `http://address:port` of the internal listener, once it is known. It changes only when the hub moves into a container or out.
    internal_url: RwLock<String>,
}

impl ServerCredentials {
    pub(super) async fn new(settings: &Settings, store: &Store) -> Result<Self, StoreError> {
        let credentials = Self {
            store: store.clone(),
            public_url: settings.public_url(),
            default_url: settings.server.default_url.clone(),
            environment: settings.server.environment.clone(),
            // A kernel that works with no tab open must be heard of before its server counts as idle.
            activity_interval: settings
                .server
                .idle_timeout
                .map(|idle| (idle.as_secs() / 3).clamp(1, 300)),
            internal_url: RwLock::default(),
        };
        if let Some(meeting) = super::kept_meeting(store).await? {
            credentials.meet(&meeting);
        }
        Ok(credentials)
    }

    pub(super) fn meet(&self, meeting: &Meeting) {
        let mut url = self
            .internal_url
            .write()
            .expect("nothing panics while it is held");
        *url = format!("http://{}", meeting.listen);
    }
}

#[async_trait]
impl Credentials for ServerCredentials {
    async fn issue(
        &self,
        server: &ServerRow,
        plan: &LaunchPlan,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let secrets = crate::oauth_provider::register_client(
            &self.store,
            &ServerClient {
                server_id: server.id,
                launch: plan.launch.0.clone(),
                user_id: server.user_id,
                user_name: server.user.clone(),
                server_name: server.name.clone(),
            },
        )
        .await?;
        let internal_url = self
            .internal_url
            .read()
            .expect("nothing panics while it is held")
            .clone();
        Ok(crate::oauth_provider::environment(&EnvInput {
            secrets: &secrets,
            user_name: &server.user,
            server_name: &server.name,
            internal_url: &internal_url,
            public_url: &self.public_url,
            bind_host: "0.0.0.0",
            port: plan.port,
            memory_limit: plan.memory_bytes,
            cpu_limit: plan.cpus,
            activity_interval: self.activity_interval,
            default_url: Some(&self.default_url),
            root_dir: None,
            extra: &self.environment,
        }))
    }
}
