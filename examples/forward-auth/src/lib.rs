//! Asks an authorisation service about each request, and lets in whom it lets in. While it waits, the worker serves
//! others.
use tollgate_sdk::http::{Request, Response, SendError};
use tollgate_sdk::{Filter, OnRequest, Verdict, log, reply, request};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    /// Whom to ask. The manifest must grant its origin.
    url: String,
    /// What the service is shown of the request.
    #[serde(default = "shown")]
    show: Vec<String>,
    /// Fields of its answer that the upstream gets, and never from a client.
    #[serde(default)]
    copy: Vec<String>,
}

fn shown() -> Vec<String> {
    ["authorization", "cookie"].map(str::to_owned).into()
}

struct ForwardAuth(Config);

impl Filter for ForwardAuth {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        match config.url.starts_with("http://") || config.url.starts_with("https://") {
            true => Ok(Self(config)),
            false => Err(format!("url: `{}` does not begin with `http://` or `https://`", config.url)),
        }
    }
}

impl OnRequest for ForwardAuth {
    fn on_request(&self) -> Verdict {
        if let Some(name) = self.0.copy.iter().find(|name| request::remove_header(name).is_err()) {
            return unavailable(&format!("`{name}` is no field that a filter may set"));
        }
        match self.ask() {
            Ok(response) if (200..300).contains(&response.status) => self.let_in(&response),
            Ok(Response { status: status @ (401 | 403), .. }) => {
                reply::reject(status, "not_authorized", "The authorisation service refuses this request");
                Verdict::Respond
            }
            Ok(response) => unavailable(&format!("it answered {}", response.status)),
            Err(error) => unavailable(&error.to_string()),
        }
    }
}

impl ForwardAuth {
    fn ask(&self) -> Result<Response, SendError> {
        let mut question = Request::get(&self.0.url)
            .header("x-original-method", &request::method())
            .header("x-original-uri", &request::path());
        for name in &self.0.show {
            if let Some(value) = request::header(name) {
                question = question.header(name, &value);
            }
        }
        question.send()
    }

    fn let_in(&self, response: &Response) -> Verdict {
        for name in &self.0.copy {
            if let Some(Err(error)) = response.header(name).map(|value| request::set_header(name, &value)) {
                return unavailable(&format!("its field `{name}` cannot be handed on: {error}"));
            }
        }
        Verdict::Proceed
    }
}

fn unavailable(why: &str) -> Verdict {
    log::warn!("the authorisation service cannot be asked: {why}");
    reply::reject(503, "authorization_unavailable", "The authorisation service cannot be reached");
    Verdict::Respond
}

tollgate_sdk::export!(ForwardAuth: on_request);

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_sdk::testing::{Host, json};

    fn filter(host: &Host) -> ForwardAuth {
        host.configure(json!({"url": "http://auth.test/check", "copy": ["x-user"]})).unwrap()
    }

    #[test]
    fn who_is_let_in_is_named_by_the_service_alone() {
        let host = Host::new();
        host.answer_requests(|question| {
            let known = question.headers.contains(&("authorization".into(), "Bearer k".into()));
            let headers = vec![("x-user".to_owned(), b"ann".to_vec())];
            Ok(Response { status: if known { 200 } else { 401 }, headers, body: Vec::new() })
        });
        let filter = filter(&host);
        let mut friend = host.exchange().header("authorization", "Bearer k").header("x-user", "root");
        assert_eq!(friend.on_request(&filter), Verdict::Proceed);
        assert_eq!(friend.request_header("x-user").as_deref(), Some("ann"));
        let mut stranger = host.exchange();
        assert_eq!(stranger.on_request(&filter), Verdict::Respond);
        assert_eq!(stranger.reply().unwrap().status, 401);
    }

    #[test]
    fn nobody_is_let_in_while_the_service_fails() {
        let host = Host::new();
        let filter = filter(&host);
        for failure in [
            Err(SendError::Failed("nobody listens".into())),
            Err(SendError::Denied),
            Ok(Response { status: 500, ..Response::default() }),
        ] {
            host.answer_requests(move |_| failure.clone());
            let mut exchange = host.exchange();
            assert_eq!(exchange.on_request(&filter), Verdict::Respond);
            assert_eq!(exchange.reply().unwrap().status, 503);
        }
    }
}
