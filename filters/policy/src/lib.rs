//! The policy filter: says which requests go on, by rules in the manifest and without code.
//!
//! # Config
//!
//! ```yaml
//! config:
//!   rules:                            # the first that matches decides; none: `default`
//!     - name: no-expensive-models     # for messages about the config; `rules[0]` without it
//!       match:                        # all that is given must hold; nothing given: every request
//!         method: [POST]              # one or a list, as path and source
//!         path: /v1/*                 # `/a` that path, `/a/*` that and all below, `/a*` all that begin so
//!         header: {x-team: {one-of: [red, blue]}}
//!         source: [10.0.0.0/8]        # the client's address
//!         body: {/model: {prefix: gpt-5}, /max_tokens: {above: 4096}}   # by JSON pointer
//!         not: {header: {x-approved: "yes"}}        # must not match
//!         any: [{source: 10.1.0.0/16}, {source: 10.2.0.0/16}]           # at least one must match
//!       action: deny                  # or allow, which ends the rules and nothing else
//!       status: 403                   # the default; with deny only, as are code and message
//!       code: denied                  # the default
//!       message: Ask for approval     # default: Denied by policy
//!   default: allow                    # the default; or deny
//!   paths: {allow: ["/v1/*"]}         # no other path passes; empty (the default): all pass
//!   max-steps: 8                      # the default: tool steps of a conversation; 0: any number
//!   workspace-root: /work/app         # file arguments of tool calls stay below; empty (the default): off
//!   web-hosts: "example.com,*.example.org,127.0.0.1:8080"   # or a list; empty (the default): all pass
//!   web-endpoint: https://search.internal/find              # with `web-hosts`: its host is allowed, too
//!   path-arguments: [path, cwd]       # instead of the names that are known
//!   url-arguments: [url]              # instead of the names that are known
//! ```
//!
//! A value in `header` or `body` is a literal, or an object of checks that must all hold: `present`, `one-of`,
//! `prefix`, `regex` (found anywhere, in linear time; anchor it with `^` and `$`), and for numbers `min`, `max`,
//! `above`, `below`. Numbers are compared with numbers only: put the validation filter first, so that `"4096"` does
//! not pass for 4096. Where a field occurs more than once, the request gets the worse of it: a rule that denies matches
//! if any value fits, one that allows only if all do.
//!
//! Paths are compared after decoding, and without a slash at the end. One that servers read differently (`..`, `//`,
//! `%2F`, `\`, `%252e` …) is refused. So is a body that looks like JSON and cannot be read, while anything looks at
//! bodies. Names of file arguments are compared without case, `_` and `-`. `web-hosts` entries name one host, with
//! `*.` or `.` before it those below it; an entry without a port allows every port.
//!
//! # Codes
//!
//! | code | status | when |
//! |---|---|---|
//! | `denied`, or the rule's own | 403, or the rule's own | a rule or `default` denies |
//! | `path_denied` | 403 | the path is not in `paths: allow` |
//! | `ambiguous_path` | 400 | servers read the path differently |
//! | `unreadable_body` | 400 | the body looks like JSON and is none, or has a name twice in one object |
//! | `unsupported_media_type` | 415 | the body is encoded (`content-encoding`) |
//! | `max_steps_exceeded` | 429 | the conversation has more tool steps than `max-steps` |
//! | `workspace_denied` | 403 | a tool call names a file outside `workspace-root` |
//! | `host_denied` | 403 | a tool call names a host that is not in `web-hosts` |
//! | `arguments_unreadable` | 403 | the arguments of a tool call are no JSON |
//! | `conversation_too_long` | 413 | it has more than 4096 messages and parts |
//!
//! # Time
//!
//! Both phases are exported, so routes with this filter buffer bodies, within their `body-limit`. A body of several
//! MiB, or a conversation of thousands of messages, takes more than the 10 ms that a filter has by default: give it
//! `limits: {time: 500ms}` where there are such.

mod arguments;
mod condition;
mod config;
mod conversation;
mod denial;
mod predicate;
mod readable;
mod rule;
mod web;
mod workspace;

use std::borrow::Cow;

use tollgate_sdk::{Filter, OnRequest, OnRequestBody, Verdict, exchange, path, request};

use self::condition::Head;
pub use self::config::Config;
use self::conversation::ConversationRules;
use self::denial::Denial;
use self::rule::{Decision, Rules};
use tollgate_sdk::path::Pattern;

/// The filter, configured.
#[derive(Debug)]
pub struct Policy {
    allowed_paths: Vec<Pattern>,
    rules: Rules,
    conversation: ConversationRules,
}

/// What the exchange's slot says once the rules have allowed it on its head alone.
const ALLOWED_BY_HEAD: u64 = 1;

impl Filter for Policy {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        config.understand()
    }
}

impl OnRequest for Policy {
    fn on_request(&self) -> Verdict {
        verdict(self.judge_head())
    }
}

impl OnRequestBody for Policy {
    fn on_request_body(&self) -> Verdict {
        verdict(self.judge_body())
    }
}

tollgate_sdk::export!(Policy: on_request, on_request_body);

impl Policy {
    fn judge_head(&self) -> Result<(), Denial<'_>> {
        let target = request::path();
        let path = unambiguous(&target)?;
        if !self.allowed_paths.is_empty() && !self.allowed_paths.iter().any(|pattern| pattern.matches(&path))
        {
            return Err(Denial {
                status: 403,
                code: "path_denied",
                message: "Path not allowed",
                detail: None,
            });
        }
        if self.rules.allow_all() {
            return Ok(());
        }
        match self.rules.decide(&Head::of_request(&path, false)) {
            Decision::Denied(denial) => Err(denial),
            Decision::Allowed => {
                exchange::set_slot(ALLOWED_BY_HEAD);
                Ok(())
            }
            Decision::Pending => Ok(()),
        }
    }

    fn judge_body(&self) -> Result<(), Denial<'_>> {
        let rules_are_pending = !self.rules.allow_all() && exchange::slot() != ALLOWED_BY_HEAD;
        if !rules_are_pending && self.conversation.are_off() {
            return Ok(());
        }
        readable::check()?;
        // The path is read again: a later filter may have changed it since.
        if rules_are_pending {
            let target = request::path();
            let path = unambiguous(&target)?;
            if let Decision::Denied(denial) = self.rules.decide(&Head::of_request(&path, true)) {
                return Err(denial);
            }
        }
        self.conversation.check()
    }
}

fn unambiguous(target: &str) -> Result<Cow<'_, str>, Denial<'static>> {
    path::read(target).map_err(|ambiguous| {
        Denial::new(400, "ambiguous_path", "Ambiguous path", format!("path {}", ambiguous.doubt))
    })
}

fn verdict(judgement: Result<(), Denial<'_>>) -> Verdict {
    judgement.map_or_else(|denial| denial.respond(), |()| Verdict::Proceed)
}
