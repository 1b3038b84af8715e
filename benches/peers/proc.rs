//! Processor time and memory of a process, from /proc.

use std::fs;
use std::ops::Sub;

use rustix::process::Pid;

use super::Outcome;

/// Processor time of a process and its children, all threads.
///
/// The total is exact to the nanosecond (schedstat). The kernel estimates the user share by
/// sampling, 100 to 1000 times a second. So that share needs long runs: of 5 s at 250 Hz, 5 %
/// is known to about a tenth of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    total_ns: u64,
    user_ticks: u64,
    system_ticks: u64,
}

impl Cpu {
    pub(crate) fn of(pids: &[Pid]) -> Outcome<Cpu> {
        let mut sum = Cpu::default();
        for pid in pids {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let text = fs::read_to_string(task?.path().join("schedstat"))?;
                sum.total_ns += number(text.split_whitespace().next())?;
            }
            let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // The name in brackets may contain anything; utime and stime are the 14th and 15th
            // field of proc(5).
            let mut fields = text.rsplit(')').next().unwrap_or("").split_whitespace();
            sum.user_ticks += number(fields.nth(11))?;
            sum.system_ticks += number(fields.next())?;
        }
        Ok(sum)
    }

    /// User and kernel time in nanoseconds.
    pub(crate) fn total_ns(self) -> f64 {
        self.total_ns as f64
    }

    /// User time in nanoseconds.
    pub(crate) fn user_ns(self) -> f64 {
        let ticks = self.user_ticks + self.system_ticks;
        self.total_ns() * self.user_ticks as f64 / ticks.max(1) as f64
    }
}

impl Sub for Cpu {
    type Output = Cpu;

    /// The time spent since `before`.
    fn sub(self, before: Cpu) -> Cpu {
        Cpu {
            total_ns: self.total_ns - before.total_ns,
            user_ticks: self.user_ticks - before.user_ticks,
            system_ticks: self.system_ticks - before.system_ticks,
        }
    }
}

/// Memory in bytes; shared pages count in proportion (Pss).
pub(crate) fn memory(pids: &[Pid]) -> Outcome<u64> {
    let mut sum = 0;
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        sum += number(line.and_then(|line| line.split_whitespace().next()))? * 1024;
    }
    Ok(sum)
}

fn number(field: Option<&str>) -> Outcome<u64> {
    Ok(field.ok_or("/proc is not as expected")?.parse()?)
}
