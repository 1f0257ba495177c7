//! stub
use super::Shared;
use crate::spawner::SpawnerError;
impl Shared {
    pub(super) async fn ensure_firewall(&self) -> Result<bool, SpawnerError> {
        Ok(false)
    }
    pub(super) async fn remove_firewall(&self) -> Result<(), SpawnerError> {
        Ok(())
    }
}
