//! Lets in who knows the key.
use tollgate_sdk::{Filter, OnRequest, Verdict, reply, request};

#[derive(serde::Deserialize)]
struct Config {
    key: String,
}

struct ApiKey(Config);

impl Filter for ApiKey {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }
}

impl OnRequest for ApiKey {
    fn on_request(&self) -> Verdict {
        if request::header("x-api-key").is_some_and(|key| key == self.0.key) {
            return Verdict::Proceed;
        }
        reply::reject(401, "unknown_key", "The API key is missing or unknown");
        Verdict::Respond
    }
}

tollgate_sdk::export!(ApiKey: on_request);

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_sdk::testing::{Host, json};

    #[test]
    fn only_who_knows_the_key_gets_in() {
        let host = Host::new();
        let filter: ApiKey = host.configure(json!({"key": "secret"})).unwrap();
        let mut friend = host.exchange().header("x-api-key", "secret");
        assert_eq!(friend.on_request(&filter), Verdict::Proceed);
        let mut stranger = host.exchange().header("x-api-key", "guess");
        assert_eq!(stranger.on_request(&filter), Verdict::Respond);
        assert_eq!(stranger.reply().unwrap().status, 401);
    }
}
