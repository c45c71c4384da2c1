//! What gantry noted of images it fetched.

use gantry_core::image::{ImageRecord, Place, Source};

use crate::harness::*;

fn at(node: &str, volid: &str, shared: bool) -> Place {
    Place { node: node.parse().unwrap(), shared, volid: volid.parse().unwrap() }
}

fn record(place: &Place, prepared_ms: i64) -> ImageRecord {
    ImageRecord {
        cluster: "lab".parse().unwrap(),
        owner: place.owner().to_owned(),
        volid: place.volid.clone(),
        digest: Some("sha256:ab".into()),
        bytes: 5 << 30,
        source: "docker.io/library/alpine:3".into(),
        origin: Source::Oci { reference: "alpine:3".parse().unwrap() },
        operation: "op_1".into(),
        prepared_ms,
        last_used_ms: 0,
    }
}

both! {
    async fn an_image_is_kept_once_a_file(db: Db) {
        let lab = "lab".parse().unwrap();
        let here = at("pve1", "local:vztmpl/alpine_3.tar", false);
        let there = at("pve2", "local:vztmpl/alpine_3.tar", false);
        let nas = at("pve1", "nas:vztmpl/alpine_3.tar", true);
        for place in [&here, &there, &nas, &here] {
            db.store.save_image(&record(place, NOW)).await.unwrap();
        }
        let all = db.store.list_images(Some(&lab)).await.unwrap();
        let owners: Vec<&str> = all.iter().map(|i| i.owner.as_str()).collect();
        assert_eq!(owners, ["pve1", "pve2", "*"]);
        assert_eq!(all[0], record(&here, NOW));
        assert!(db.store.list_images(Some(&"prod".parse().unwrap())).await.unwrap().is_empty());
        assert!(db.store.remove_image(&lab, &there).await.unwrap());
        assert!(!db.store.remove_image(&lab, &there).await.unwrap());
        assert_eq!(db.store.list_images(None).await.unwrap().len(), 2);
    }

    async fn the_last_use_of_an_image_only_moves_forward_and_survives_a_new_fetch(db: Db) {
        let lab = "lab".parse().unwrap();
        let here = at("pve1", "local:vztmpl/alpine_3.tar", false);
        db.store.save_image(&record(&here, NOW)).await.unwrap();
        let used = async || db.store.list_images(None).await.unwrap()[0].last_used_ms;
        let volid = here.volid.to_string();
        db.store.touch_image(&lab, &"pve2".parse().unwrap(), &volid, NOW + 9).await.unwrap();
        assert_eq!(used().await, 0, "another node's copy was used");
        db.store.touch_image(&lab, &here.node, &volid, NOW + 5).await.unwrap();
        db.store.touch_image(&lab, &here.node, &volid, NOW + 3).await.unwrap();
        assert_eq!(used().await, NOW + 5);
        db.store.save_image(&record(&here, NOW + 7)).await.unwrap();
        assert_eq!(used().await, NOW + 5);
        let nas = at("pve1", "nas:vztmpl/alpine_3.tar", true);
        db.store.save_image(&record(&nas, NOW)).await.unwrap();
        db.store.touch_image(&lab, &"pve3".parse().unwrap(), &nas.volid.to_string(), NOW + 1).await.unwrap();
        assert_eq!(db.store.list_images(None).await.unwrap()[1].last_used_ms, NOW + 1);
    }
}
