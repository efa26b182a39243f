//! Rules: the first one that matches a request decides about it.

use serde::Deserialize;
use serde_json::Value;

use crate::condition::{Condition, Head, RawCondition};
use crate::denial::Denial;

const DENIED: &str = "denied";
const DENIED_MESSAGE: &str = "Denied by policy";

/// What happens to a request.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    #[default]
    Allow,
    Deny,
}

/// Rules in order, and what becomes of a request that none of them matches.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    default: Action,
}

#[derive(Debug)]
struct Rule {
    condition: Condition,
    /// None: it allows.
    denial: Option<RuleDenial>,
}

#[derive(Debug)]
struct RuleDenial {
    status: u16,
    code: String,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    #[serde(default, rename = "name")]
    _name: Option<String>,
    #[serde(default, rename = "match")]
    condition: RawCondition,
    action: Action,
    status: Option<u16>,
    code: Option<String>,
    message: Option<String>,
}

/// What the rules say about a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Decision<'a> {
    Allowed,
    Denied(Denial<'a>),
    /// It hangs on a body that has not arrived.
    Pending,
}

impl Rules {
    /// # Errors
    ///
    /// Every rule that is wrong, by its name, and how.
    pub(crate) fn parse(raw: Vec<Value>, default: Action) -> Result<Self, Vec<String>> {
        let (mut rules, mut problems) = (Vec::new(), Vec::new());
        for (index, value) in raw.into_iter().enumerate() {
            let title = title(index, &value);
            match Rule::parse(value) {
                Ok(rule) => rules.push(rule),
                Err(problem) => problems.push(format!("{title}: {problem}")),
            }
        }
        if problems.is_empty() { Ok(Self { rules, default }) } else { Err(problems) }
    }

    /// Whether there is nothing to decide.
    pub(crate) fn allow_all(&self) -> bool {
        self.rules.is_empty() && self.default == Action::Allow
    }

    /// What the first rule that matches says, or the default.
    pub(crate) fn decide(&self, head: &Head<'_>) -> Decision<'_> {
        for rule in &self.rules {
            match rule.condition.matches(head, rule.denial.is_some()) {
                Some(true) => return rule.decision(),
                Some(false) => {}
                None => return Decision::Pending,
            }
        }
        match self.default {
            Action::Allow => Decision::Allowed,
            Action::Deny => {
                Decision::Denied(Denial { status: 403, code: DENIED, message: DENIED_MESSAGE, detail: None })
            }
        }
    }
}

impl Rule {
    fn parse(value: Value) -> Result<Self, String> {
        let raw: RawRule = serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            let problem = error.into_inner();
            if path == "." { problem.to_string() } else { format!("{path}: {problem}") }
        })?;
        let condition = Condition::parse(raw.condition).map_err(|problem| format!("match: {problem}"))?;
        let answers = raw.status.is_some() || raw.code.is_some() || raw.message.is_some();
        if raw.action == Action::Allow {
            return match answers {
                true => Err("status, code and message go with `action: deny`".into()),
                false => Ok(Self { condition, denial: None }),
            };
        }
        let status = raw.status.unwrap_or(403);
        if !(400..600).contains(&status) {
            return Err(format!("status: {status} is no error; 400 to 599 are"));
        }
        let code = raw.code.unwrap_or_else(|| DENIED.to_owned());
        let message = raw.message.unwrap_or_else(|| DENIED_MESSAGE.to_owned());
        Ok(Self { condition, denial: Some(RuleDenial { status, code, message }) })
    }

    fn decision(&self) -> Decision<'_> {
        match &self.denial {
            None => Decision::Allowed,
            Some(RuleDenial { status, code, message }) => {
                Decision::Denied(Denial { status: *status, code, message, detail: None })
            }
        }
    }
}

/// How messages call a rule.
fn title(index: usize, rule: &Value) -> String {
    match rule.get("name").and_then(Value::as_str) {
        Some(name) => format!("rule `{name}`"),
        None => format!("rules[{index}]"),
    }
}
