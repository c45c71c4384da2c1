//! A password in the database's address is in no error and no log line.

use gantry_store::Store;

use crate::harness::*;

const PASSWORD: &str = "tr0ub4dor-and-3";

#[tokio::test]
async fn errors_of_a_server_out_of_reach_do_not_tell_the_password() {
    // A port nobody listens on: taken and given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://gantry:{PASSWORD}@127.0.0.1:{port}/gantry");
    let error = Store::open(&url).await.unwrap_err();
    assert!(error.is_lost(), "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains(PASSWORD), "{text}");
    assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn errors_that_repeat_the_password_are_struck_out() {
    let Some(db) = Db::empty_postgres().await else { return };
    // The database's name is in the server's own words: a slip that puts the password there.
    let base =
        db.url.rsplit_once('/').unwrap().0.replace("gantry@", &format!("gantry:{PASSWORD}@"));
    let error = Store::open(&format!("{base}/x-{PASSWORD}")).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("does not exist"), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    let good = format!("{base}/{}", db.url.rsplit_once('/').unwrap().1);
    let store = Store::open(&good).await.unwrap();
    assert!(!format!("{store:?}").contains(PASSWORD));
    store.ping().await.unwrap();
    store.close().await;
    let error = store.ping().await.unwrap_err();
    assert!(error.is_lost() && !format!("{error} {error:?}").contains(PASSWORD), "{error:?}");
}
