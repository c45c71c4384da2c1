//! Kill -9 anywhere in work on images: fetched once, handed on once, deleted once, converted once.

use crate::bot_test;
use crate::crash::{Case, through_all_points};

bot_test! {
    async fn an_image_is_fetched_once(bot: &mut Bot) {
        let case = Case { steps: 1, done: &["image"] };
        through_all_points(bot, case, async |bot, round| {
            let tag = format!("{round}");
            bot.proxmox.publish_image(proxmox_twin::RemoteImage::new("registry.demo/crash/one", &tag, 1 << 20));
            let command = format!("/image pull image:registry.demo/crash/one:{tag} node:pve1 storage:local");
            let question = bot.admin().runs(&command).await;
            bot.admin().confirms(&question, "").await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn an_image_is_deleted_once(bot: &mut Bot) {
        let case = Case { steps: 1, done: &["imgdel"] };
        through_all_points(bot, case, async |bot, round| {
            let file = format!("crash_{round}.tar");
            bot.proxmox.put_file("pve1", &format!("local:vztmpl/{file}"), 1 << 20);
            let command = format!("/image delete image:local:vztmpl/{file} node:pve1");
            let question = bot.admin().runs(&command).await;
            bot.admin().confirms(&question, &file).await;
            question
        })
        .await;
    }
}
