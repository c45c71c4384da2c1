//! Health checks, locks and profiles of containers. `pct` is a double that writes down its arguments; the script, sshd
//! and the files are real.

use gantry_nodeshell::{AppArmor, Error, HealthCheck, Lock, Seccomp};

use crate::yard::{Yard, node, word};

fn check(program: &str, words: &[&str], seconds: u8) -> HealthCheck {
    HealthCheck::new(word(program), words.iter().map(|w| word(w)).collect(), seconds).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_runs_in_the_container_and_nothing_else_does() {
    let Some(yard) = Yard::new() else { return };
    yard.write("guests/201", "status: running\n");
    yard.write("guests/202", "status: stopped\n");
    let (shell, target) = (yard.shell(), node());
    let run = |vmid: &str, check| {
        let vmid = word(vmid);
        let (shell, target) = (&shell, &target);
        async move { shell.check_health(target, vmid, check).await }
    };

    let well = run("201", check("healthcheck", &["--port", "80"], 5)).await.unwrap();
    assert!(well.is_healthy());
    assert_eq!(well.output, "well --port 80");
    let ill = run("201", check("healthcheck", &["fail", "ready"], 5)).await.unwrap();
    assert_eq!((ill.status, ill.output.as_str()), (Some(3), "not ready"));
    let slow = run("201", check("healthcheck", &["sleep"], 1)).await.unwrap();
    assert_eq!((slow.status, slow.is_healthy()), (None, false));
    let loud = run("201", check("healthcheck", &["talk"], 5)).await.unwrap();
    assert!(loud.output.len() <= 4096 && loud.is_healthy(), "{}", loud.output.len());

    let stopped = run("202", check("healthcheck", &[], 5)).await.unwrap_err();
    assert_eq!(stopped.to_string(), "container 202 is not running on this node (pve1)");
    assert!(matches!(run("203", check("true", &[], 5)).await, Err(Error::Failed { .. })));
    // A shell in every container is what nobody gets by this way; the node's owner decides what else may run.
    for program in ["sh", "bash", "/bin/sh", "curl", "env"] {
        let error = run("201", check(program, &["-c", "id"], 5)).await.unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{program}: {error:?}");
    }
    yard.write("etc/exec-programs", "curl\nprintf\n");
    let own = run("201", check("printf", &["%s-%s", "a", "b"], 5)).await.unwrap();
    assert_eq!(own.output, "a-b");
    let asked = yard.read("pct.log");
    assert!(asked.contains("<exec><201><--><healthcheck><--port><80>"), "{asked}");
    assert!(!asked.contains("<sh>") && !asked.contains("<-c>"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_taken_off_and_named() {
    let Some(yard) = Yard::new() else { return };
    yard.write("pve/lxc/201.conf", "arch: amd64\nlock: backup\n[snap]\nlock: snapshot\n");
    let (shell, target) = (yard.shell(), node());
    let was = shell.unlock(&target, word("201")).await.unwrap();
    assert_eq!(was, Lock::Was("backup".to_owned()));
    assert_eq!(shell.unlock(&target, word("201")).await.unwrap(), Lock::None);
    assert_eq!(yard.read("pct.log").lines().filter(|l| l.contains("<unlock>")).count(), 1);
    let error = shell.unlock(&target, word("999")).await.unwrap_err();
    assert_eq!(error.to_string(), "guest 999 is not on this node (pve1)");
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_change_two_lines_and_leave_the_rest_alone() {
    let Some(yard) = Yard::new() else { return };
    let before = "arch: amd64\nlxc.apparmor.profile: unconfined\nlxc.cap.drop: sys_time\nmemory: 512\n\n[snap]\nlxc.apparmor.profile: unconfined\n";
    yard.write("pve/lxc/201.conf", before);
    let (shell, target) = (yard.shell(), node());
    let lines =
        shell.set_profile(&target, word("201"), AppArmor::Nesting, Seccomp::Common).await.unwrap();
    assert_eq!(
        yard.read("pve/lxc/201.conf"),
        "arch: amd64\nlxc.cap.drop: sys_time\nmemory: 512\n\n\
         lxc.apparmor.profile: lxc-container-default-with-nesting\n\
         lxc.seccomp.profile: /usr/share/lxc/config/common.seccomp\n\
         [snap]\nlxc.apparmor.profile: unconfined\n"
    );
    let keys: Vec<&str> = lines.iter().map(|l| l.key.as_str()).collect();
    assert_eq!(keys, ["lxc.cap.drop", "lxc.apparmor.profile", "lxc.seccomp.profile"]);

    let error = shell
        .set_profile(&target, word("201"), AppArmor::Unconfined, Seccomp::Default)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    yard.write("etc/allow-unconfined", "");
    shell.set_profile(&target, word("201"), AppArmor::Unconfined, Seccomp::Default).await.unwrap();
    assert!(yard.read("pve/lxc/201.conf").contains("\nlxc.apparmor.profile: unconfined\n[snap]"));
    let lines =
        shell.set_profile(&target, word("201"), AppArmor::Default, Seccomp::Default).await.unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(matches!(
        shell.set_profile(&target, word("202"), AppArmor::Default, Seccomp::Default).await,
        Err(Error::Failed { .. })
    ));
}
