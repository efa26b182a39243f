//! The official JSON Schema test suite, run on the compiler that the filter uses. `tests/suite/` has the required tests
//! of draft 2020-12 and the documents that they refer to, each in one file: <https://github.com/json-schema-org/JSON-Schema-Test-Suite>.

use std::collections::BTreeMap;

use boon::Schemas as Compiled;
use serde::Deserialize;
use serde_json::Value;

use crate::schemas::{add, compiler};

const TESTS: &str = include_str!("../tests/suite/draft2020-12.json");
const REMOTES: &str = include_str!("../tests/suite/remotes.json");

#[derive(Deserialize)]
pub(crate) struct Group {
    pub(crate) description: String,
    pub(crate) schema: Value,
    pub(crate) tests: Vec<Test>,
}

#[derive(Deserialize)]
pub(crate) struct Test {
    pub(crate) description: String,
    pub(crate) data: Value,
    pub(crate) valid: bool,
}

/// All groups of tests; each one's description begins with its file's name.
pub(crate) fn groups() -> Vec<Group> {
    let files: BTreeMap<String, Vec<Group>> = serde_json::from_str(TESTS).expect("the suite");
    let named =
        |file: String, group: Group| Group { description: format!("{file}: {}", group.description), ..group };
    files
        .into_iter()
        .flat_map(|(file, groups)| groups.into_iter().map(move |group| named(file.clone(), group)))
        .collect()
}

#[test]
fn every_required_test_of_draft_2020_12_passes() {
    let remotes: BTreeMap<String, Value> = serde_json::from_str(REMOTES).expect("the remotes");
    let (mut run, mut failures) = (0, Vec::new());
    for group in groups() {
        for (title, passed) in outcomes(group, &remotes) {
            run += 1;
            if !passed {
                failures.push(title);
            }
        }
    }
    assert!(failures.is_empty(), "{} of {run} failed:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(run, 1257, "tests were lost");
}

fn outcomes(group: Group, remotes: &BTreeMap<String, Value>) -> Vec<(String, bool)> {
    let mut compiler = compiler();
    for (location, document) in remotes {
        compiler.add_resource(location, document.clone()).expect(location);
    }
    let mut compiled = Compiled::new();
    let schema =
        add(&mut compiler, &mut compiled, "schema:///suite", group.schema).expect(&group.description);
    let outcome = |test: Test| {
        let passed = compiled.validate(&test.data, schema).is_ok() == test.valid;
        (format!("{}: {}", group.description, test.description), passed)
    };
    group.tests.into_iter().map(outcome).collect()
}
