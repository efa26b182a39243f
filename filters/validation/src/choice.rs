//! Problems of `anyOf` and `oneOf`. Each branch fails in its own way, and most of these ways mean nothing to whoever
//! sent the body: this finds the branch that was meant, or one line that covers all.

use boon::{ErrorKind, Type, ValidationError};
use serde_json::Value;

use crate::place::text;
use crate::problem::{MAX_PROBLEMS, collect as collect_problems, is_group, types, values};

/// Adds the problems of a value that fits no branch.
pub(crate) fn collect(error: &ValidationError<'_, '_>, lines: &mut Vec<String>) {
    let branches: Vec<Branch<'_>> = error.causes.iter().map(|cause| Branch::new(error, cause)).collect();
    let right_kind: Vec<&Branch<'_>> =
        branches.iter().filter(|branch| branch.wanted_types.is_none()).collect();
    let meant: Vec<&Branch<'_>> = right_kind.iter().copied().filter(|branch| !branch.is_ruled_out).collect();
    match (right_kind.as_slice(), meant.as_slice()) {
        ([], _) => push(lines, wrong_kind(error, &branches)),
        (_, [only]) | ([only], _) => collect_problems(only.error, lines),
        (several, []) => match ruled_out(several) {
            Some(line) => push(lines, line),
            None => push_nearest(lines, several),
        },
        (_, several) => push_nearest(lines, several),
    }
}

/// A branch that the value does not fit.
struct Branch<'a> {
    error: &'a ValidationError<'a, 'a>,
    /// What is wrong, at most [`MAX_PROBLEMS`] of it.
    leaves: Vec<&'a ValidationError<'a, 'a>>,
    /// The kinds of value it is for, if the value is of another.
    wanted_types: Option<Vec<Type>>,
    /// A member has another value than the one that marks this branch, as `type` does.
    is_ruled_out: bool,
}

impl<'a> Branch<'a> {
    fn new(choice: &ValidationError<'_, '_>, error: &'a ValidationError<'a, 'a>) -> Self {
        let depth = choice.instance_location.tokens.len();
        let mut leaves = Vec::new();
        gather(error, &mut leaves);
        let distance =
            |leaf: &ValidationError<'_, '_>| leaf.instance_location.tokens.len().saturating_sub(depth);
        let wanted_types = leaves.iter().find_map(|leaf| match &leaf.kind {
            ErrorKind::Type { want, .. } if distance(leaf) == 0 => Some(want.iter().collect()),
            _ => None,
        });
        let is_ruled_out = leaves.iter().any(|leaf| distance(leaf) == 1 && marks(leaf).is_some());
        Self { error, leaves, wanted_types, is_ruled_out }
    }
}

fn gather<'a>(error: &'a ValidationError<'a, 'a>, leaves: &mut Vec<&'a ValidationError<'a, 'a>>) {
    if leaves.len() >= MAX_PROBLEMS {
        return;
    }
    if is_group(error) {
        error.causes.iter().for_each(|cause| gather(cause, leaves));
    } else {
        leaves.push(error);
    }
}

/// The values that a member may have.
fn marks<'a>(leaf: &ValidationError<'a, '_>) -> Option<&'a [Value]> {
    match leaf.kind {
        ErrorKind::Const { want } => Some(std::slice::from_ref(want)),
        ErrorKind::Enum { want } => Some(want),
        _ => None,
    }
}

fn wrong_kind(choice: &ValidationError<'_, '_>, branches: &[Branch<'_>]) -> String {
    let mut wanted: Vec<Type> = Vec::new();
    for kind in branches.iter().filter_map(|branch| branch.wanted_types.as_ref()).flatten() {
        if !wanted.contains(kind) {
            wanted.push(*kind);
        }
    }
    let place = text(&choice.instance_location.tokens);
    match wanted.is_empty() {
        true => format!("{place} is not allowed"),
        false => format!("{place} must be {}", types(wanted.into_iter())),
    }
}

/// One line for branches that are all ruled out by the same member.
fn ruled_out(branches: &[&Branch<'_>]) -> Option<String> {
    let mut place = None;
    let mut allowed: Vec<&Value> = Vec::new();
    for branch in branches {
        let (leaf, marks) = branch.leaves.iter().find_map(|leaf| marks(leaf).map(|marks| (leaf, marks)))?;
        let this = text(&leaf.instance_location.tokens);
        if place.get_or_insert_with(|| this.clone()) != &this {
            return None;
        }
        for value in marks {
            if !allowed.contains(&value) {
                allowed.push(value);
            }
        }
    }
    place.map(|place| format!("{place} must be one of {}", values(allowed.into_iter())))
}

/// The first problem of the branch with the fewest.
fn push_nearest(lines: &mut Vec<String>, branches: &[&Branch<'_>]) {
    let mut problems = Vec::new();
    if let Some(nearest) = branches.iter().min_by_key(|branch| branch.leaves.len()) {
        collect_problems(nearest.error, &mut problems);
    }
    problems.truncate(1);
    problems.into_iter().for_each(|line| push(lines, line));
}

fn push(lines: &mut Vec<String>, line: String) {
    if lines.len() < MAX_PROBLEMS && !lines.contains(&line) {
        lines.push(line);
    }
}
