//! Every URL of the hub on one page.

use axum::Router;
use axum::routing::{any, delete, get, options, post, put};

use super::HubState;
use super::api::{
    activity, broker, hub, oauth, progress, replicas as replicas_api, servers, tokens, users,
};
use super::pages::{
    admin, admin_users, assets, errors, health, home, link, login, not_running, password,
    permission, provider, replicas, sessions, spawn, visit, welcome, wiki,
};

pub(super) fn routes() -> Router<HubState> {
    Router::new()
        .merge(pages())
        .merge(admin_pages())
        .merge(api())
        .merge(machinery())
}

/// What notebooks send to wikis, outside the bounds of the other URLs.
pub(super) fn broker() -> Router<HubState> {
    Router::new().route("/hub/api/broker", post(broker::send))
}

fn pages() -> Router<HubState> {
    Router::new()
        .route("/", get(login::to_hub))
        .route("/hub", get(login::to_hub))
        .route("/hub/", get(login::front))
        .route("/hub/login", get(login::form).post(login::submit))
        .route("/hub/login/{provider}", get(provider::away))
        .route("/hub/oauth_login", get(provider::away_to_first))
        .route("/hub/oauth_callback", get(provider::back))
        .route("/hub/oauth_callback/{provider}", get(provider::back))
        .route("/hub/logout", get(login::logout))
        .route("/hub/sessions", get(sessions::show))
        .route("/hub/sessions/end", post(sessions::end_all))
        .route("/hub/sessions/end-others", post(sessions::end_others))
        .route("/hub/sessions/{id}/end", post(sessions::end))
        .route("/hub/replicas", get(replicas::show))
        .route("/hub/replicas/statements/{id}/stop", post(replicas::stop))
        .route("/hub/wiki", get(wiki::show))
        .route("/hub/wiki/permission", post(permission::ask))
        .route("/hub/wiki/permission/withdraw", post(permission::withdraw))
        .route("/hub/wiki/callback", get(permission::back))
        .route("/hub/wiki/{launch}/stop", post(wiki::stop))
        .route("/hub/wiki/{launch}/allow", post(wiki::allow))
        .route("/hub/link/{token}", get(link::open).post(link::submit))
        .route("/hub/welcome", get(welcome::show).post(welcome::submit))
        .route("/hub/password", get(password::show).post(password::submit))
        .route("/hub/home", get(home::show))
        .route("/hub/servers", post(home::add))
        .route("/hub/stop/{user}", post(home::stop_default))
        .route("/hub/stop/{user}/{server}", post(home::stop_named))
        .route("/hub/remove/{user}/{server}", post(home::remove))
        .route("/hub/spawn", get(spawn::own).post(spawn::start_own))
        .route(
            "/hub/spawn/{user}",
            get(spawn::default).post(spawn::start_default),
        )
        .route(
            "/hub/spawn/{user}/{server}",
            get(spawn::named).post(spawn::start_named),
        )
        .route("/hub/spawn-pending/{user}", get(spawn::pending_default))
        .route(
            "/hub/spawn-pending/{user}/{server}",
            get(spawn::pending_named),
        )
        .route("/hub/user-redirect", get(not_running::redirect_to_own))
        .route(
            "/hub/user-redirect/{*path}",
            get(not_running::redirect_to_own),
        )
        .route("/hub/user/{user}", any(not_running::show))
        .route("/hub/user/{user}/", any(not_running::show))
        .route("/hub/user/{user}/{*path}", any(not_running::show))
        .route("/hub/error/{code}", get(errors::by_code))
        .fallback(not_running::elsewhere)
}

fn admin_pages() -> Router<HubState> {
    Router::new()
        .route("/hub/admin", get(admin::show))
        .route("/hub/admin/invite", post(admin_users::invite))
        .route("/hub/admin/users/{id}/reset", post(admin_users::reset))
        .route(
            "/hub/admin/users/{id}/admin",
            post(admin_users::change_admin),
        )
        .route(
            "/hub/admin/users/{id}/delete",
            get(admin_users::ask_delete).post(admin_users::delete),
        )
}

fn api() -> Router<HubState> {
    Router::new()
        .route("/hub/api", get(hub::version).options(hub::options))
        .route("/hub/api/", get(hub::version).options(hub::options))
        .route(
            "/hub/api/{*path}",
            options(hub::options).fallback(errors::unknown_api),
        )
        .route("/hub/api/info", get(hub::info).options(hub::options))
        .route("/hub/api/user", get(hub::whoami).options(hub::options))
        .route(
            "/hub/api/users",
            get(users::list)
                .post(users::create_many)
                .options(hub::options),
        )
        .route(
            "/hub/api/users/{name}",
            get(users::show)
                .post(users::create)
                .patch(users::change)
                .delete(users::delete)
                .options(hub::options),
        )
        .route(
            "/hub/api/users/{name}/activity",
            post(activity::post).options(hub::options),
        )
        .route(
            "/hub/api/users/{name}/server",
            post(servers::start_default)
                .delete(servers::stop_default)
                .options(hub::options),
        )
        .route(
            "/hub/api/users/{name}/server/progress",
            get(progress::of_default),
        )
        .route(
            "/hub/api/users/{name}/servers/{server}",
            get(servers::show)
                .post(servers::start)
                .delete(servers::stop_named)
                .options(hub::options),
        )
        .route(
            "/hub/api/users/{name}/servers/{server}/progress",
            get(progress::of_named),
        )
        .route(
            "/hub/api/users/{name}/tokens",
            get(tokens::list).post(tokens::create),
        )
        .route("/hub/api/users/{name}/tokens/{id}", delete(tokens::delete))
        .route(
            "/hub/api/replicas/statements",
            get(replicas_api::list).options(hub::options),
        )
        .route(
            "/hub/api/replicas/sections",
            get(replicas_api::sections).options(hub::options),
        )
        .route(
            "/hub/api/replicas/statements/{id}",
            delete(replicas_api::delete).options(hub::options),
        )
        .route(
            "/hub/api/broker/requests",
            get(broker::list).options(hub::options),
        )
        .route(
            "/hub/api/broker/halts/{launch}",
            put(broker::halt)
                .delete(broker::allow)
                .options(hub::options),
        )
        .route(
            "/hub/api/oauth2/authorize",
            get(visit::ask).post(visit::confirm),
        )
        .route("/hub/api/oauth2/token", post(oauth::token))
        .route("/hub/api/health", get(health::alive))
        .route("/hub/api/metrics", get(health::metrics))
}

fn machinery() -> Router<HubState> {
    Router::new()
        .route("/hub/health", get(health::alive))
        .route("/hub/ready", get(health::ready))
        .route("/hub/metrics", get(health::metrics))
        .route("/hub/logo", get(assets::logo))
        .route("/hub/static/{*name}", get(assets::file))
        .route("/favicon.ico", get(assets::logo))
        .route("/robots.txt", get(assets::robots))
}
