//! What ages and breaks by itself is told, and is over when it is mended: disks, pools, certificates, Ceph, replication,
//! backup jobs; and what gantry itself stands on.

use std::time::Duration;

use discord_twin::Trouble as Weather;
use proxmox_twin::{GuestSpec, Replication, Trouble};

use crate::alerts::{config, told};
use crate::bot_test;

/// Longer than the pause between two looks at what ages.
const NEXT_LOOK: Duration = Duration::from_secs(31 * 60);

bot_test! {
    async fn what_ages_is_told_and_is_over_when_it_is_mended(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        bot.proxmox.wears(|w| {
            w.smart.insert("pve1".into(), "FAILED!".into());
            w.pools.insert("pve1".into(), "ONLINE".into());
            w.pools.insert("pve2".into(), "DEGRADED".into());
            w.certificate_days.insert("pve3".into(), 5.0);
            w.ceph = Some(("HEALTH_WARN".into(), "1 osds down".into()));
            w.replications.push(Replication {
                guest: 5000,
                source: "pve1".into(),
                target: "pve2".into(),
                fail_count: 3,
                error: "No route to host".into(),
            });
        });
        bot.configured(&config("")).await;
        let mut messages = Vec::new();
        for (what, detail) in [
            ("Disk is failing: /dev/sda on pve1", "FAILED!"),
            ("ZFS pool is not whole: rpool on pve2", "DEGRADED"),
            ("Certificate ends soon: pve3", "days"),
            ("Ceph is not well: lab", "1 osds down"),
            ("Replication fails: shop (CT 5000)", "No route to host"),
        ] {
            let message = told(bot, what).await;
            bot.until_says(message, detail).await;
            messages.push(message);
        }
        bot.proxmox.wears(|w| {
            *w = proxmox_twin::Wear::default();
            w.pools.insert("pve2".into(), "ONLINE".into());
            w.ceph = Some(("HEALTH_OK".into(), String::new()));
        });
        bot.clock.advance(NEXT_LOOK);
        for message in messages {
            bot.until_says(message, "Over").await;
        }
    }
}

bot_test! {
    async fn a_guest_in_no_backup_job_is_told_where_somebody_wants_to_know(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        bot.proxmox.wears(|w| { w.uncovered.insert(5000); });
        bot.configured(&config("least = \"info\"")).await;
        let on = bot.admin().runs("/rule enable rule:backup-none on:vmid:5000").await;
        assert!(on.text().contains("other values"), "{}", on.text());
        bot.clock.advance(NEXT_LOOK);
        let message = told(bot, "Guests in no backup job: shop (CT 5000)").await;
        bot.proxmox.wears(|w| w.uncovered.clear());
        bot.clock.advance(NEXT_LOOK);
        bot.until_says(message, "Over").await;
    }
}

bot_test! {
    async fn that_its_own_messages_wait_is_told_by_gantry_itself(bot: &mut Bot) {
        bot.configured(&config("")).await;
        let place = ("pve1".to_owned(), "local-lvm".to_owned());
        let full = bot.trouble(Trouble::FillStorage { node: place.0, storage: place.1, percent: 90.0 });
        let storage = told(bot, "Storage fills up: local-lvm on pve1").await;
        // New messages go out, edits do not.
        let weather = bot.discord.trouble(Weather::Error {
            route: "edit message".into(),
            status: 502,
            times: 100_000,
            body: None,
        });
        bot.proxmox.clear_trouble(full);
        let message = told(bot, "gantry's messages wait").await;
        bot.discord.end_trouble(weather);
        bot.until_says(storage, "Over").await;
        bot.until_says(message, "Over").await;
    }
}
