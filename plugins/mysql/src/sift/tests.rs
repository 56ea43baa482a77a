use super::*;

const VIEWS: &str = "/*!50001 DROP VIEW IF EXISTS `v`*/;\n\
    /*!50001 SET @saved_cs_client          = @@character_set_client */;\n\
    /*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50001 VIEW `v` AS select 1 */;\n";

fn target(new: &str) -> Target<'_> {
    Target {
        old: "shop",
        new,
        folds: false,
        room: VIEWS_BYTES,
    }
}

/// What goes into the server, and what waits.
fn sifted(dump: &str, target: Target<'_>) -> Result<(String, String)> {
    let mut out = Vec::new();
    let views = sift(dump.as_bytes(), &mut out, target)?;
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ok((text(out), text(views)))
}

#[test]
fn a_dump_changes_the_database_that_it_is_loaded_into() {
    let long = format!("INSERT INTO `a` VALUES ('{}');\n", "x".repeat(1_000_000));
    let rest = "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER `tr` BEFORE INSERT ON `a` FOR EACH ROW SET @a = 'shop'";
    let dump = |name: &str| {
        format!(
            "{long}ALTER DATABASE `{name}` CHARACTER SET latin1 ;\n{long} ALTER DATABASE `shop` no;\n{rest}"
        )
    };
    let found = sifted(&dump("shop"), target("shop_2"));
    assert!(found.is_ok_and(|(found, views)| found == dump("shop_2") && views.is_empty()));
    assert_eq!(
        sifted("", target("shop_2")),
        Ok((String::new(), String::new()))
    );
}

#[test]
fn a_trigger_that_names_the_database_is_not_made_in_it() {
    let trigger = |name: &str| {
        format!(
            "DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 trigger {name} before insert on a for each row set @a = 1\n"
        )
    };
    let error = sifted(&trigger("shop.tr"), target("shop_2")).expect_err("it names it");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(sifted(&trigger("tr"), target("shop_2")).is_ok());
}

#[test]
fn views_wait_and_what_stands_in_for_them_does_not() {
    let stand_in = "DROP TABLE IF EXISTS `v`;\n/*!50001 DROP VIEW IF EXISTS `v`*/;\n\
        SET @saved_cs_client     = @@character_set_client;\n/*!50001 CREATE VIEW `v` AS SELECT\n 1 AS `a` */;\n";
    let sandbox = "/*M!999999\\- enable the sandbox mode */ \n";
    let dump = format!("{sandbox}{stand_in}{VIEWS}-- Dump completed\n");
    let (out, views) = sifted(&dump, target("shop")).expect("sifted");
    assert_eq!(out, format!("{sandbox}{stand_in}"));
    assert_eq!(views, format!("{sandbox}{HEAD}{VIEWS}-- Dump completed\n"));
}

#[test]
fn what_only_looks_like_a_view_stays_where_it_is() {
    for text in [
        format!("DELIMITER ;;\nCREATE PROCEDURE `p`()\nBEGIN\n{VIEWS}END ;;\nDELIMITER ;\n"),
        format!(
            "INSERT INTO `a` VALUES\n(1,'x'),\n(2,'\\'\\n;');\nCREATE TABLE `a\n{VIEWS}` (\n i int);\n"
        ),
        format!("/* {VIEWS}*/\n"),
    ] {
        let found = sifted(&text, target("shop")).expect("sifted");
        assert_eq!(found, (text, String::new()));
    }
}

#[test]
fn very_many_views_do_not_wait() {
    let many = format!("{VIEWS}-- {}\n", "x".repeat(VIEWS_BYTES));
    let (out, views) = sifted(&many, target("shop")).expect("sifted");
    assert!(out.ends_with(&many) && views.is_empty());
}

#[test]
fn a_table_that_draws_from_a_sequence_is_filled_without_a_lock() {
    let table = |column: &str| {
        format!("DROP TABLE IF EXISTS `a`;\nCREATE TABLE `a` (\n  `i` int DEFAULT {column}\n);\n")
    };
    let (lock, rows) = (
        "LOCK TABLES `a` WRITE;\n",
        "INSERT INTO `a` VALUES\n(1);\nUNLOCK TABLES;\n",
    );
    let (draws, plain) = (table("nextval(`shop`.`s`)"), table("5"));
    let dump = format!("{draws}{lock}{rows}{plain}{lock}{rows}");
    let (out, _) = sifted(&dump, target("shop")).expect("sifted");
    assert_eq!(out, format!("{draws}{rows}{plain}{lock}{rows}"));
}

#[test]
fn tables_that_are_the_same_to_the_server_are_told() {
    let dump = "DROP TABLE IF EXISTS `Orders`;\nDROP TABLE IF EXISTS `Orders`;\nDROP TABLE IF EXISTS `orders`;\n";
    assert!(sifted(dump, target("shop")).is_ok());
    let folds = Target {
        folds: true,
        ..target("shop")
    };
    let error = sifted(dump, folds).expect_err("one would go");
    assert!(error.message().contains("Orders and orders"), "{error}");
}
