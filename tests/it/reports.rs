//! Reports: asked for by somebody, and sent by themselves once at their time, whatever is killed when.

use std::time::Duration;

use proxmox_twin::Trouble;

use crate::alerts::{alerts, config, told};
use crate::bot_test;
use crate::harness::text_of;

bot_test! {
    async fn a_report_tells_room_use_backups_and_incidents(bot: &mut Bot) {
        bot.configured(&config("")).await;
        let full = bot.trouble(Trouble::FillStorage { node: "pve1".into(), storage: "local-lvm".into(), percent: 90.0 });
        let message = told(bot, "Storage fills up: local-lvm on pve1").await;
        let ack = bot.custom_id(message, "ack");
        bot.discord.press(message, "operator", &ack).await.unwrap();
        bot.until_says(message, "acknowledged by").await;
        let report = bot.viewer().runs("/report days:7").await;
        assert!(report.is_ephemeral());
        let text = report.text();
        for part in ["Incidents", "1 acknowledged, after", "Storages of lab", "local-lvm on pve1 90 %", "Most CPU now", "Backups of lab"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        bot.proxmox.clear_trouble(full);
    }
}

bot_test! {
    async fn a_digest_is_sent_once_a_day_also_across_a_kill(bot: &mut Bot) {
        bot.configured(&config("digest = \"08:00\"")).await;
        let store = bot.engine().store().clone();
        let key = format!("report:{}:day", discord_twin::world::HOMELAB_GUILD);
        let noted = async || store.setting(&key).await.unwrap().unwrap_or_default();
        crate::harness::until("the first day is noted", async || !noted().await.is_empty()).await;
        let first = noted().await;
        // To a moment after the next 08:00, UTC.
        let day = 86_400_000;
        let due = first.parse::<i64>().unwrap() + day;
        let ahead = u64::try_from(due - bot.clock.now_ms() + 60_000).unwrap();
        bot.clock.advance(Duration::from_millis(ahead));
        let message = told(bot, "The last day").await;
        bot.until_says(message, "Incidents:").await;
        // SQLite lets one process in: nothing of the old one may stay.
        drop(store);
        bot.restart().await;
        bot.clock.advance(Duration::from_secs(300));
        bot.looks().await;
        let sent = || alerts(bot).iter().filter(|m| text_of(m).contains("The last day")).count();
        assert_eq!(sent(), 1, "once");
    }
}
