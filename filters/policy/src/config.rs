//! The filter's config: as the manifest has it, and as it is understood. Every mistake is told at once.

use serde::Deserialize;
use serde_json::Value;

use crate::Policy;
use crate::arguments::{ArgumentRules, Names};
use crate::condition::OneOrMany;
use crate::conversation::ConversationRules;
use crate::rule::{Action, Rules};
use crate::web::Hosts;
use crate::workspace::Workspace;
use tollgate_sdk::path::Pattern;

/// What arguments that name files are called.
const PATH_ARGUMENTS: [&str; 28] = [
    "path",
    "paths",
    "file",
    "files",
    "file_path",
    "file_paths",
    "filepath",
    "filename",
    "filenames",
    "directory",
    "directories",
    "dir",
    "folder",
    "cwd",
    "workdir",
    "working_dir",
    "working_directory",
    "notebook_path",
    "absolute_path",
    "relative_path",
    "relative_workspace_path",
    "target_file",
    "target_path",
    "target_directory",
    "old_path",
    "new_path",
    "source_path",
    "destination_path",
];

/// What arguments that name web addresses are called.
const URL_ARGUMENTS: [&str; 12] = [
    "url",
    "urls",
    "uri",
    "uris",
    "href",
    "link",
    "links",
    "endpoint",
    "base_url",
    "target_url",
    "website",
    "web_url",
];

/// The keys of the filter's `config`; the crate's documentation says what they mean.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    rules: Vec<Value>,
    default: Action,
    paths: Paths,
    max_steps: u32,
    workspace_root: Option<String>,
    path_arguments: Vec<String>,
    web_hosts: Option<OneOrMany>,
    web_endpoint: Option<String>,
    url_arguments: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Paths {
    allow: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            default: Action::Allow,
            paths: Paths::default(),
            max_steps: 8,
            workspace_root: None,
            path_arguments: PATH_ARGUMENTS.map(str::to_owned).to_vec(),
            web_hosts: None,
            web_endpoint: None,
            url_arguments: URL_ARGUMENTS.map(str::to_owned).to_vec(),
        }
    }
}

impl Config {
    /// # Errors
    ///
    /// All that is wrong, joined by `; `.
    pub(crate) fn understand(self) -> Result<Policy, String> {
        let mut problems = Vec::new();
        let rules = kept(Rules::parse(self.rules, self.default), &mut problems);
        let allowed_paths = kept(patterns(&self.paths.allow), &mut problems);
        let workspace = kept(workspace(self.workspace_root).map_err(|problem| vec![problem]), &mut problems);
        let web =
            kept(hosts(self.web_hosts, self.web_endpoint).map_err(|problem| vec![problem]), &mut problems);
        let (Some(rules), Some(allowed_paths), Some(workspace), Some(web)) =
            (rules, allowed_paths, workspace, web)
        else {
            return Err(problems.join("; "));
        };
        let arguments = ArgumentRules {
            workspace: workspace.map(|workspace| (workspace, Names::new(&self.path_arguments))),
            web: web.map(|hosts| (hosts, Names::new(&self.url_arguments))),
        };
        let conversation = ConversationRules { max_steps: self.max_steps, arguments };
        Ok(Policy { allowed_paths, rules, conversation })
    }
}

fn kept<T>(parsed: Result<T, Vec<String>>, problems: &mut Vec<String>) -> Option<T> {
    parsed.map_err(|mut found| problems.append(&mut found)).ok()
}

fn patterns(allowed: &[String]) -> Result<Vec<Pattern>, Vec<String>> {
    let (mut patterns, mut problems) = (Vec::new(), Vec::new());
    for parsed in allowed.iter().map(|text| Pattern::parse(text)) {
        match parsed {
            Ok(pattern) => patterns.push(pattern),
            Err(problem) => problems.push(format!("paths: allow: {problem}")),
        }
    }
    if problems.is_empty() { Ok(patterns) } else { Err(problems) }
}

/// An empty text is what an environment variable that is not set leaves.
fn workspace(root: Option<String>) -> Result<Option<Workspace>, String> {
    root.map(|root| root.trim().to_owned())
        .filter(|root| !root.is_empty())
        .map(|root| Workspace::new(&root))
        .transpose()
}

/// Lists may be texts with commas: that is how environment variables have them.
fn hosts(list: Option<OneOrMany>, endpoint: Option<String>) -> Result<Option<Hosts>, String> {
    let items = list.unwrap_or_default().items();
    let entries: Vec<String> = items.iter().flat_map(|item| item.split(',')).map(str::to_owned).collect();
    Hosts::parse(&entries, endpoint.as_deref())
}
