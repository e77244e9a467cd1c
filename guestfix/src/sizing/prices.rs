//! Prices of Azure's sizes, as the user fetched them: answers of its Retail Prices API ("Azure Retail Prices overview",
//! Microsoft Learn, read 2026-11-30), or a table `region,size,usd_hour`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::rules::packs::day;

/// Hours of a month, as Azure's calculator has it.
const HOURS: f64 = 730.0;
/// The head of a table.
const HEAD: &str = "region,size,usd_hour";

/// The prices of a region.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    /// "westeurope".
    pub region: String,
    /// "USD".
    pub currency: String,
    /// The answers go on in a page that is not there.
    pub partial: bool,
    /// By the name of the size in small letters, and whether Windows is in it.
    rows: BTreeMap<(String, bool), Row>,
}

/// A price an hour, and since when it holds. A list may have two for one size that hold at once: both are kept.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    hour: f64,
    least: f64,
    since: Option<String>,
}

/// What a size costs, pay as you go, in the currency of the [`List`] that it is from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Price {
    /// "Standard_D2s_v5".
    pub size: String,
    /// An hour; none where the list has no price of it. The dearest, where several hold at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<f64>,
    /// A month of 730 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<f64>,
    /// A month by the cheapest, where the list has several prices that hold at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_month: Option<f64>,
    /// Since when it holds, as the list says: "2021-10-01".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// What the sizes cost, and by which list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct List {
    /// The file.
    pub file: String,
    /// The day on which the file was written, which need not be that of its prices.
    pub date: String,
    /// "westeurope".
    pub region: String,
    /// "USD".
    pub currency: String,
    /// Whether the licence of Windows is in the prices.
    pub windows: bool,
    /// The list goes on in a page that is not in the file.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// A price for each size.
    pub sizes: Vec<Price>,
}

impl Prices {
    /// The prices of a region in a list that hold on `today` (2026-12-24); of the only region where none is named.
    ///
    /// # Errors
    /// In words: it is no such list, has no prices of machines, of that region or of today, they are in several
    /// currencies, or it cannot be told when they hold.
    pub fn read(text: &str, region: Option<&str>, today: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}');
        let (mut rows, partial) = match text.trim_start().starts_with(['{', '[']) {
            true => answers(text)?,
            false => (table(text)?, false),
        };
        let is_list = !rows.is_empty();
        rows.retain(|it| it.holds(today));
        if is_list && rows.is_empty() {
            return Err(format!("none of its prices of virtual machines holds on {today}"));
        }
        let mut regions: Vec<&str> = rows.iter().map(|it| it.region.as_str()).collect();
        regions.sort_unstable();
        regions.dedup();
        let wanted = region.map(|name| name.replace(' ', "").to_lowercase());
        let region = match (&wanted, &regions[..]) {
            (_, []) => return Err("there are no prices of virtual machines in it".to_owned()),
            (None, [one]) => (*one).to_owned(),
            (None, all) => return Err(format!("it has prices of several regions: {}", all.join(", "))),
            (Some(wanted), all) if all.contains(&wanted.as_str()) => wanted.clone(),
            (Some(wanted), all) => return Err(format!("it has none of {wanted}, but of {}", all.join(", "))),
        };
        let mut prices = Self { region, currency: String::new(), partial, rows: BTreeMap::new() };
        for it in rows.into_iter().filter(|it| it.region == prices.region) {
            if !prices.currency.is_empty() && prices.currency != it.currency {
                return Err(format!("it has prices in {} and {}", prices.currency, it.currency));
            }
            prices.currency = it.currency;
            match prices.rows.get_mut(&it.key) {
                // Of several the newest holds.
                Some(known) if known.since > it.row.since => {}
                Some(known) if known.since == it.row.since => {
                    known.hour = known.hour.max(it.row.hour);
                    known.least = known.least.min(it.row.least);
                }
                _ => drop(prices.rows.insert(it.key, it.row)),
            }
        }
        Ok(prices)
    }

    /// What a size costs; with Windows' licence, where that is asked for.
    pub fn of(&self, size: &str, windows: bool) -> Price {
        let row = self.rows.get(&(size.to_lowercase(), windows));
        Price {
            size: size.to_owned(),
            hour: row.map(|row| row.hour),
            month: row.map(|row| row.hour * HOURS),
            least_month: row.filter(|row| row.least < row.hour).map(|row| row.least * HOURS),
            since: row.and_then(|row| row.since.clone()),
        }
    }
}

impl List {
    /// What a size costs, in words.
    pub fn month(&self, size: &str) -> String {
        let price = self.sizes.iter().find(|price| price.size == size);
        match price.map(|price| (price.month, price.least_month)) {
            Some((Some(month), Some(least))) => {
                format!("{least:.2} or {month:.2} {} a month: the list has both as of today", self.currency)
            }
            Some((Some(month), None)) => format!("{month:.2} {} a month", self.currency),
            _ => format!("not in {}", self.file),
        }
    }

    /// What the prices are, and where they are from.
    pub fn source(&self) -> String {
        let Self { file, date, region, windows, partial, .. } = self;
        let since = self.sizes.iter().filter_map(|price| price.since.as_deref()).max();
        let since = since.map(|day| format!(", the last since {day}")).unwrap_or_default();
        let licence = if *windows { "with" } else { "without" };
        let more = if *partial { "; the list goes on in a page that is not in the file" } else { "" };
        format!(
            "{file}, a file of {date}, {region}{since}: pay as you go, {HOURS} hours a month, {licence} a licence of Windows, \
             without disks{more}"
        )
    }
}

/// A price that was read.
struct Read {
    region: String,
    currency: String,
    key: (String, bool),
    row: Row,
    /// The last day on which it holds, if it has one.
    until: Option<String>,
}

impl Read {
    /// Whether it holds on a day. Days that are written as 2026-12-24 are ordered as texts are.
    fn holds(&self, today: &str) -> bool {
        self.row.since.as_deref().is_none_or(|since| since <= today)
            && self.until.as_deref().is_none_or(|until| today <= until)
    }
}

/// The prices of one answer or of several, and whether they go on.
fn answers(text: &str) -> Result<(Vec<Read>, bool), String> {
    let answer: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    let pages = answer.as_array().map_or(std::slice::from_ref(&answer), Vec::as_slice);
    let mut rows = Vec::new();
    for page in pages {
        let items = page.get("Items").and_then(Value::as_array);
        for it in items.ok_or("it is no answer of the Retail Prices API: it has no Items")? {
            rows.extend(item(it)?);
        }
    }
    let next = pages.last().and_then(|page| page.get("NextPageLink")?.as_str());
    Ok((rows, next.is_some_and(|link| !link.is_empty())))
}

/// A price of a machine by the hour that everybody pays.
fn item(it: &Value) -> Result<Option<Read>, String> {
    let text = |name: &str| it.get(name).and_then(Value::as_str).unwrap_or_default();
    let hour = it.get("retailPrice").and_then(Value::as_f64).filter(|hour| hour.is_finite() && *hour > 0.0);
    let Some(hour) = hour.filter(|_| is_machine(&text)) else { return Ok(None) };
    let (size, region, currency) = (text("armSkuName"), text("armRegionName"), text("currencyCode"));
    if size.is_empty() || region.is_empty() || currency.is_empty() {
        return Ok(None);
    }
    let time = |name: &str| {
        let (date, time) = text(name).split_once('T').unwrap_or((text(name), ""));
        match (date, day(date)) {
            ("", _) => Ok(None),
            (_, Some(day)) => Ok(Some((day, time))),
            (_, None) => Err(format!("{name} of {size} is no time: {:?}", text(name))),
        }
    };
    let since = time("effectiveStartDate")?.map(|(day, _)| day.to_string());
    // What ends as a day begins does not hold on that day.
    let until = time("effectiveEndDate")?
        .and_then(|(day, time)| if time.starts_with("00:00:00") { day.previous_day() } else { Some(day) });
    Ok(Some(Read {
        region: region.to_lowercase(),
        currency: currency.to_owned(),
        key: (size.to_lowercase(), text("productName").contains("Windows")),
        row: Row { hour, least: hour, since },
        until: until.map(|day| day.to_string()),
    }))
}

/// Whether a price is that of a virtual machine, pay as you go. Cloud services and dedicated hosts have machines of the
/// same names; the name of the product of a virtual machine ends in Series, with its system behind it or not.
fn is_machine<'a>(text: &impl Fn(&str) -> &'a str) -> bool {
    let cheap = ["skuName", "meterName", "productName"]
        .iter()
        .any(|name| ["Spot", "Low Priority"].iter().any(|word| text(name).contains(word)));
    let product = text("productName");
    let product = product.strip_suffix(" Windows").or(product.strip_suffix(" Linux")).unwrap_or(product);
    product.ends_with(" Series")
        && !product.contains("Dedicated Host")
        && matches!(text("serviceName"), "" | "Virtual Machines")
        && text("type") == "Consumption"
        && text("unitOfMeasure") == "1 Hour"
        && !cheap
}

/// The prices of a table, which are of Linux.
fn table(text: &str) -> Result<Vec<Read>, String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    if lines.next() != Some(HEAD) {
        return Err(format!("it is neither JSON nor a table with the head {HEAD}"));
    }
    let row = |line: &str| {
        let [region, size, hour] = line.split(',').collect::<Vec<_>>().try_into().ok()?;
        let hour = hour.parse::<f64>().ok().filter(|hour| hour.is_finite() && *hour >= 0.0)?;
        Some(Read {
            region: region.to_lowercase(),
            currency: "USD".to_owned(),
            key: (size.to_lowercase(), false),
            row: Row { hour, least: hour, since: None },
            until: None,
        })
    };
    let rows = lines.map(|line| row(line).ok_or_else(|| format!("{line:?} is no line of {HEAD}")));
    let rows: Vec<Read> = rows.collect::<Result<_, _>>()?;
    // Nothing is free: such a size has no price.
    Ok(rows.into_iter().filter(|it| it.row.hour > 0.0).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TODAY: &str = "2026-11-30";

    fn one(size: &str, product: &str, price: f64) -> Value {
        json!({
            "currencyCode": "USD", "retailPrice": price, "armRegionName": "westeurope", "armSkuName": size,
            "effectiveStartDate": "2021-10-01T00:00:00Z", "meterName": "D2s v5", "skuName": "D2s v5",
            "productName": product, "unitOfMeasure": "1 Hour", "type": "Consumption",
        })
    }

    fn with(mut it: Value, name: &str, value: &str) -> Value {
        it[name] = value.into();
        it
    }

    #[test]
    fn an_answer_of_the_api_is_read() {
        let (linux, windows) = ("Virtual Machines Dsv5 Series", "Virtual Machines Dsv5 Series Windows");
        let plain = one("Standard_D2s_v5", linux, 0.115);
        let items = json!([
            plain,
            one("Standard_D2s_v5", windows, 0.207),
            with(with(plain.clone(), "effectiveStartDate", "2019-01-01T00:00:00Z"), "productName", linux),
            with(one("Standard_D2s_v5", linux, 0.02), "skuName", "D2s v5 Spot"),
            with(one("Standard_D2s_v5", linux, 0.03), "meterName", "D2s v5 Low Priority"),
            with(one("Standard_D2s_v5", linux, 700.0), "type", "Reservation"),
            with(one("Standard_D2s_v5", linux, 0.05), "type", "DevTestConsumption"),
            with(one("Standard_D2s_v5", "Dsv5 Series Cloud Services", 9.0), "location", "x"),
        ]);
        let page = json!({ "Items": items, "NextPageLink": null }).to_string();
        let prices = Prices::read(&page, None, TODAY).unwrap();
        assert_eq!((prices.region.as_str(), prices.currency.as_str()), ("westeurope", "USD"));
        let price = prices.of("Standard_D2s_v5", false);
        assert_eq!((price.hour, price.since.as_deref()), (Some(0.115), Some("2021-10-01")));
        assert!((price.month.unwrap() - 83.95).abs() < 1e-9);
        assert_eq!(prices.of("standard_d2s_V5", true).hour, Some(0.207));
        assert_eq!(prices.of("Standard_D4s_v5", false).hour, None);
        assert!(!prices.partial);
        // Pages side by side, of which the last one goes on.
        let further = json!({ "Items": [one("Standard_D4s_v5", linux, 0.23)], "NextPageLink": "https://…" });
        let both = format!("[{page},{further}]");
        let prices = Prices::read(&both, Some("West Europe"), TODAY).unwrap();
        assert_eq!((prices.of("Standard_D4s_v5", false).hour, prices.partial), (Some(0.23), true));
        assert!(Prices::read(&both, Some("eastus"), TODAY).unwrap_err().contains("but of westeurope"));
        let euros = with(one("Standard_D4s_v5", linux, 0.2), "currencyCode", "EUR");
        let mixed = json!({ "Items": [plain, euros] }).to_string();
        assert!(Prices::read(&mixed, None, TODAY).unwrap_err().contains("USD and EUR"));
        for wrong in ["{}", "[]", "x", "", r#"{"Items":[]}"#, r#"{"Items":[{"retailPrice":1}]}"#] {
            assert!(Prices::read(wrong, None, TODAY).is_err(), "{wrong}");
        }
    }

    /// What one size costs by a list of these.
    fn read(items: &[Value]) -> Price {
        let page = json!({ "Items": items }).to_string();
        Prices::read(&page, None, TODAY).unwrap().of("Standard_D2s_v5", false)
    }

    #[test]
    fn only_what_holds_today_counts() {
        let from = |day: &str, price| {
            let it = one("Standard_D2s_v5", "Virtual Machines Dsv5 Series", price);
            with(it, "effectiveStartDate", &format!("{day}T00:00:00Z"))
        };
        let until = |it: Value, time: &str| with(it, "effectiveEndDate", time);
        let now = from("2021-10-01", 0.115);
        for other in [
            from("2031-01-01", 0.5),
            from("2026-12-01", 0.5),
            until(from("2024-01-01", 0.5), "2026-11-29T23:59:59Z"),
            until(from("2024-01-01", 0.5), "2026-11-30T00:00:00Z"),
        ] {
            assert_eq!(read(&[other.clone(), now.clone()]).hour, Some(0.115), "{other}");
            assert_eq!(read(&[now.clone(), other.clone()]).hour, Some(0.115), "{other}");
            let alone = json!({ "Items": [other] }).to_string();
            let none = Prices::read(&alone, None, TODAY).unwrap_err();
            assert!(none.contains("holds on 2026-11-30"), "{none}");
        }
        for newer in [from("2026-11-30", 0.2), until(from("2026-01-01", 0.2), "2026-11-30T23:59:59Z")] {
            assert_eq!(read(&[now.clone(), newer]).hour, Some(0.2));
        }
        for name in ["effectiveStartDate", "effectiveEndDate"] {
            let page = json!({ "Items": [with(now.clone(), name, "soon")] }).to_string();
            assert!(Prices::read(&page, None, TODAY).unwrap_err().contains(name));
        }
    }

    #[test]
    fn two_prices_at_once_are_both_told() {
        let cheap = one("Standard_D2s_v5", "Virtual Machines Dsv5 Series", 0.1);
        let dear = one("Standard_D2s_v5", "Virtual Machines Dsv5 Series", 0.2);
        for both in [[cheap.clone(), dear.clone()], [dear, cheap.clone()]] {
            let price = read(&both);
            assert_eq!(price.hour, Some(0.2));
            let list = List {
                file: "f".to_owned(),
                date: TODAY.to_owned(),
                region: "r".to_owned(),
                currency: "USD".to_owned(),
                windows: false,
                partial: false,
                sizes: vec![price],
            };
            assert_eq!(
                list.month("Standard_D2s_v5"),
                "73.00 or 146.00 USD a month: the list has both as of today"
            );
        }
        assert_eq!(read(&[cheap.clone(), cheap]).least_month, None);
    }

    #[test]
    fn only_virtual_machines_have_prices() {
        let vm = one("Standard_D2s_v5", "Virtual Machines Dsv5 Series", 0.1);
        assert_eq!(read(&[with(vm.clone(), "serviceName", "Virtual Machines")]).hour, Some(0.1));
        assert_eq!(
            read(&[with(vm.clone(), "productName", "Virtual Machines Dsv5 Series Linux")]).hour,
            Some(0.1)
        );
        for (name, value) in [
            ("productName", "Dsv5 Series Dedicated Host"),
            ("productName", "Virtual Machines Dsv5 Dedicated Host Series"),
            ("productName", "Dsv5 Series Cloud Services"),
            ("productName", "Dsv5 Series CloudServices"),
            ("productName", "Virtual Machines RI"),
            ("serviceName", "Azure Dedicated Host"),
            ("serviceName", "Cloud Services"),
            ("meterName", "D2s v5 Spot"),
            ("skuName", "D2s v5 Low Priority"),
        ] {
            let dearer = one("Standard_D2s_v5", "Virtual Machines Dsv5 Series", 9.0);
            assert_eq!(read(&[vm.clone(), with(dearer, name, value)]).hour, Some(0.1), "{value}");
        }
    }

    #[test]
    fn a_table_is_read() {
        let table =
            "# of 2026-06-18\nregion,size,usd_hour\neastus,Standard_A1,0.06\nwesteurope,Standard_A1,0.08\n";
        assert!(
            Prices::read(table, None, TODAY).unwrap_err().contains("several regions: eastus, westeurope")
        );
        let prices = Prices::read(table, Some("westeurope"), TODAY).unwrap();
        assert_eq!((prices.of("Standard_A1", false).hour, prices.currency.as_str()), (Some(0.08), "USD"));
        // The table says nothing of Windows.
        assert_eq!(prices.of("Standard_A1", true).hour, None);
        let none = format!("{table}westeurope,Standard_A2,0.\n");
        assert_eq!(
            Prices::read(&none, Some("westeurope"), TODAY).unwrap().of("Standard_A2", false).hour,
            None
        );
        let torn = format!("{table}eastus,Standard_A2");
        assert!(Prices::read(&torn, Some("eastus"), TODAY).unwrap_err().contains("no line of"));
        assert!(Prices::read(&format!("{table}eastus,Standard_A2,-1"), Some("eastus"), TODAY).is_err());
    }
}
