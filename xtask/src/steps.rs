//! Runs the steps of a long command one after the other, all of them, and says of each how long it took and whether
//! it failed.

use std::time::Instant;

/// What became of the steps so far.
#[derive(Default)]
pub(crate) struct Steps {
    failed: Vec<&'static str>,
}

impl Steps {
    /// Runs one step under a heading on standard error. A failure is noted, and does not keep later steps from
    /// running.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<(), String>) {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = work();
        let seconds = start.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => eprintln!("== {name}: ok, {seconds:.1} s"),
            Err(problem) => {
                eprintln!("== {name}: FAILED, {seconds:.1} s: {problem}");
                self.failed.push(name);
            }
        }
    }

    /// The names of the steps that failed, in order.
    pub(crate) fn failed(&self) -> &[&'static str] {
        &self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_remembered_and_the_next_one_runs() {
        let mut steps = Steps::default();
        let mut ran = false;
        steps.step("first", || Err("broken".to_owned()));
        steps.step("second", || {
            ran = true;
            Ok(())
        });
        assert!(ran);
        assert_eq!(steps.failed(), ["first"]);
    }
}
