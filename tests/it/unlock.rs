//! Locks that a task which died has left behind: taken off by name over the node shell, once, and never while a task of
//! that guest runs.

use gantry_core::operation::OpState;
use gantry_proxmox::GuestRef;
use proxmox_twin::{GuestSpec, Trouble};

use crate::bot_test;
use crate::crash::{Case, through_all_moments_from};
use crate::harness::Bot;
use crate::lost::mishaps;

/// A stopped container on `pve1` with a lock that nobody needs any more; its name.
async fn locked(bot: &Bot, n: usize) -> (u32, String) {
    let (vmid, name) = (5000 + u32::try_from(n).unwrap(), format!("shop-{n}"));
    bot.has_guest(GuestSpec::lxc(vmid, &name).on("pve1").locked("backup")).await;
    (vmid, name)
}

bot_test! {
    async fn a_lock_is_taken_off_by_name(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5001, "free").on("pve1")).await;
        let free = bot.admin().runs("/guest unlock guest:free").await.text();
        assert!(free.contains("is not locked"), "{free}");
        locked(bot, 0).await;
        let question = bot.admin().runs("/guest unlock guest:shop-0").await;
        assert!(question.text().contains("backup"), "{}", question.text());
        bot.admin().confirms(&question, "shop-0").await;
        bot.until_says(question.message, "was taken off").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Succeeded, "{:?}", op.outcome);
        assert_eq!(bot.proxmox.count("unlock", 5000), 1);
        assert_eq!(bot.proxmox.guest(5000).unwrap().lock, None);
    }
}

bot_test! {
    async fn nothing_is_unlocked_while_a_task_of_that_guest_runs(bot: &mut Bot) {
        let (vmid, _) = locked(bot, 0).await;
        let question = bot.admin().runs("/guest unlock guest:shop-0").await;
        // Somebody begins something with it between the question and the press.
        bot.trouble(Trouble::TaskSlow { task: "vzstart".into(), seconds: 60.0 });
        let lxc = gantry_core::id::GuestKind::Lxc;
        let at = GuestRef::new("pve1".parse().unwrap(), lxc, vmid.try_into().unwrap());
        let task = bot.somebody().start(&at).await.unwrap();
        bot.admin().confirms(&question, "shop-0").await;
        bot.until_says(question.message, "the task vzstart of shop-0 runs").await;
        let refused = bot.admin().runs("/guest unlock guest:shop-0").await;
        assert!(refused.text().contains("could ruin the guest's disks"), "{}", refused.text());
        assert!(bot.proxmox.guest(vmid).unwrap().lock.is_some());
        assert_eq!(bot.proxmox.count("unlock", vmid), 0);
        bot.somebody().stop_task(&task.upid).await.unwrap();
        let question = bot.confirmed("/guest unlock guest:shop-0", "shop-0").await;
        bot.until_says(question.message, "was taken off").await;
    }
}

bot_test! {
    async fn a_lock_is_taken_off_once_wherever_the_process_dies(bot: &mut Bot) {
        let case = Case { steps: 1, done: &["unlock"] };
        through_all_moments_from(
            bot,
            case,
            async |bot, round| locked(bot, round).await.1,
            async |bot, _, name| bot.confirmed(&format!("/guest unlock guest:{name}"), &name).await,
        )
        .await;
    }
}

bot_test! {
    async fn a_call_that_goes_wrong_is_looked_for_and_never_sent_again(bot: &mut Bot) {
        for (n, trouble) in mishaps("SSH /nodes/*/unlock", (65, "pct cannot do that")).into_iter().enumerate() {
            let (vmid, name) = locked(bot, n).await;
            let (at, wanted) = (format!("{trouble:?}"), match &trouble {
                Trouble::RequestLost { .. } => (0, OpState::Unknown),
                Trouble::ShellFails { .. } => (0, OpState::Failed),
                _ => (1, OpState::Succeeded),
            });
            bot.trouble(trouble);
            let question = bot.confirmed(&format!("/guest unlock guest:{name}"), &name).await;
            let op = bot.settle().await.remove(0);
            let outcome = op.outcome.unwrap();
            assert_eq!((bot.proxmox.count("unlock", vmid), op.state), wanted, "{at}: {outcome:?}");
            assert!(bot.proxmox.troubles().is_empty(), "{at}: that call was never made");
            let lock = bot.proxmox.guest(vmid).unwrap().lock;
            assert_eq!(lock.is_none(), wanted.0 == 1, "{at}: {outcome:?}");
            let said = bot.until_says(question.message, &outcome.summary).await;
            assert_eq!(said.contains("locked (backup)"), lock.is_some(), "{at}: {said}");
        }
    }
}
