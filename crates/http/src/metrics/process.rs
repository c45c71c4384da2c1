//! What the process takes, as Linux says it. What cannot be read is left out.

use super::names::Name;
use super::page::Page;

/// Linux has counted in hundredths of a second towards programs since it began, whatever it counts in itself.
const TICKS_PER_S: f64 = 100.0;

pub(super) fn write(page: &mut Page) {
    if let Some(cpu) = cpu_s(&read("/proc/self/stat")) {
        page.put(Name::ProcessCpu, &[], cpu);
    }
    if let Some(bytes) = resident_bytes(&read("/proc/self/status")) {
        page.put(Name::ProcessMemory, &[], bytes);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.put(Name::ProcessFds, &[], open.count() as f64);
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Fields 14 and 15, counted after the name in brackets, which may hold anything.
fn cpu_s(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<f64>().ok()?, fields.next()?.parse::<f64>().ok()?);
    Some((user + system) / TICKS_PER_S)
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_says_what_the_process_takes() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(cpu_s(stat), Some(2.0));
        assert_eq!(resident_bytes("VmPeak:\t 1 kB\nVmRSS:\t    2048 kB\n"), Some(2_097_152.0));
        assert!(cpu_s(&read("/proc/self/stat")).is_some());
    }
}
