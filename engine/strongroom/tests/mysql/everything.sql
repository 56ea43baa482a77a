-- A row of every type and an object of every kind that a dump must carry.
CREATE TABLE types (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  a_tiny TINYINT, a_bool BOOLEAN, a_big BIGINT UNSIGNED, a_decimal DECIMAL(38, 10), a_float FLOAT, a_double DOUBLE,
  a_bit BIT(13), a_char CHAR(5), a_varchar VARCHAR(300), a_binary BINARY(4), a_varbinary VARBINARY(64),
  a_text LONGTEXT, a_blob LONGBLOB, an_enum ENUM('red', 'it''s', 'grün'), a_set SET('a', 'b', 'ü d'),
  a_date DATE, a_time TIME(6), a_datetime DATETIME(6), a_timestamp TIMESTAMP(3) NULL, a_year YEAR,
  a_json JSON, a_point POINT,
  generated_now INT GENERATED ALWAYS AS (a_tiny * 2) VIRTUAL,
  generated_once VARCHAR(20) GENERATED ALWAYS AS (LEFT(a_varchar, 9)) STORED,
  UNIQUE KEY (a_big), KEY prefix (a_text(20))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
INSERT INTO types (id, a_tiny, a_bool, a_big, a_decimal, a_float, a_double, a_bit, a_char, a_varchar, a_binary, a_varbinary, a_text, a_blob,
                   an_enum, a_set, a_date, a_time, a_datetime, a_timestamp, a_year, a_json, a_point) VALUES
  (1, -128, TRUE, 18446744073709551615, 1234567890123456789012345678.0123456789, 1.5, 2.2250738585072014e-308, b'1000000000001', 'ab',
   'quote '' backslash \\ newline \n tab \t NUL \0 end', x'00FF0027', x'DEADBEEF5C2700', 'ünï😀', x'000102FF5C275C', 'it''s', 'a,ü d',
   '2026-02-28', '-838:59:59.000000', '2026-12-31 23:59:59.999999', '2026-07-01 12:00:00.123', 2155,
   '{"a": [1, 2.5, null, "ü"], "b": {"c": true}}', POINT(1.5, -2)),
  (2, 127, FALSE, 0, -0.0000000001, -0.0, -1.7976931348623157e308, b'0', '', '', x'', '', '', '', 'red', '',
   '0000-00-00', '00:00:00', '0000-00-00 00:00:00', NULL, 0000, '[]', NULL),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-00-00', NULL, NULL, NULL, NULL, NULL, NULL),
  (0, 0, 0, 7, 0, 0, 0, b'1', 'zero', 'an id of zero', '', '', '', '', 3, 3, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE old_letters (id INT PRIMARY KEY, word VARCHAR(40)) ENGINE=InnoDB DEFAULT CHARSET=latin1;
INSERT INTO old_letters VALUES (1, 'Käse'), (2, CONVERT(x'80A3FF' USING latin1));
CREATE TABLE `odd ``name` (`a column` INT PRIMARY KEY, `sélect` INT COMMENT 'it''s; -- odd') ENGINE=InnoDB;
INSERT INTO `odd ``name` VALUES (1, 2);
CREATE TABLE by_year (id INT, made DATE NOT NULL, PRIMARY KEY (id, made)) ENGINE=InnoDB
  PARTITION BY RANGE (YEAR(made)) (PARTITION old VALUES LESS THAN (2020), PARTITION young VALUES LESS THAN MAXVALUE);
INSERT INTO by_year VALUES (1, '2001-01-01'), (2, '2026-01-01');
CREATE TABLE parents (id INT PRIMARY KEY, other INT, CONSTRAINT itself FOREIGN KEY (other) REFERENCES parents (id)) ENGINE=InnoDB;
CREATE TABLE children (id INT PRIMARY KEY, parent INT, CHECK (id > 0),
  CONSTRAINT to_parent FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE) ENGINE=InnoDB;
INSERT INTO parents VALUES (1, NULL), (2, 1);
INSERT INTO children VALUES (1, 2), (2, 1);
CREATE VIEW a_view AS SELECT c.id, p.other FROM children c JOIN parents p ON p.id = c.parent;
CREATE VIEW a_view_of_a_view AS SELECT COUNT(*) AS n FROM a_view;
CREATE TABLE seen (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(99)) ENGINE=InnoDB;
DELIMITER ;;
CREATE TRIGGER notice AFTER INSERT ON children FOR EACH ROW BEGIN INSERT INTO seen (what) VALUES (CONCAT('child; ', NEW.id)); END;;
CREATE PROCEDURE count_children(OUT n INT) BEGIN SELECT COUNT(*) INTO n FROM children; END;;
CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC BEGIN RETURN n * 2; END;;
CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO BEGIN DELETE FROM seen; END;;
DELIMITER ;
INSERT INTO children VALUES (3, 1);
