# Writes the demo's data, the same on every machine.
#   awk -v what=stories -v count=5000 -f make.awk     a corpus: little stories about inns, their guests and their food
#   awk -v what=pairs -v count=400 -f make.awk        JSON Lines of a task the stories do not show: "record", "sentence"
#   awk -v what=held-out -v count=100 -f make.awk     the same task, with names that the pairs do not have
BEGIN {
  adjectives = "golden|silver|little|old|happy|quiet|green|blue|red|white|black|brave|lucky|sleepy|merry|gentle|proud|shy|clever|wild"
  nouns = "fox|bear|owl|swan|lion|rose|oak|star|moon|ship|bell|crown|hare|goose|cat|lamp|kettle|anchor|wheel|drum"
  kinds = "inn|cafe|tavern|bakery|pub|kitchen|bistro|hotel"
  foods = "fish|bread|pie|porridge|duck|cheese|cake|rice|ham|stew|salad|pasta|soup|curry|honey|pudding"
  areas = "river|market|station|harbour|park|church|mill|bridge|lake|school"
  people = "Anna|Ben|Clara|David|Emma|Felix|Greta|Hugo|Ida|Jonas|Lena|Max|Nora|Oscar|Paula|Tom"
  tastes = "good|warm|fresh|fine"
  seed = what == "stories" ? 11 : what == "pairs" ? 22 : 33
  for (i = 0; i < 20; ++i) below(2)
  for (i = 0; i < count; ++i) print what == "stories" ? story() : pair(what == "held-out")
}

# A number from 0 to n - 1 (Park and Miller's generator: exact in double precision).
function below(n) {
  seed = (seed * 16807) % 2147483647
  return int(seed / 2147483647 * n)
}
function pick(list, items) { return items[below(split(list, items, "|")) + 1] }
function other(list, than, item) { # another one
  do item = pick(list); while (item == than)
  return item
}
function capital(text) { return toupper(substr(text, 1, 1)) substr(text, 2) }
function a(noun) { return (noun ~ /^[aeiou]/ ? "an " : "a ") noun }

# ---- stories: whoever writes them goes on with the names, food and places that came before ----

function story(  name, kind, food, area, price, children, person, text) {
  name = "the " pick(adjectives) " " pick(nouns)
  kind = pick(kinds); food = pick(foods); area = pick(areas); person = pick(people)
  price = pick("cheap|fair|dear"); children = pick("are|are not")
  text = opening(name, kind, food, area, person)
  for (left = 2 + below(3); left > 0; --left) text = text " " middle(name, kind, food, area, price, children, person)
  return text " " ending(name, kind, food, area, person)
}

function opening(name, kind, food, area, person,  n) {
  n = below(4)
  if (n == 0) return person " went to " name ", " a(kind) " by the " area "."
  if (n == 1) return "By the " area " there is " a(kind) ", " name "."
  if (n == 2) return person " works at " name ". It is " a(kind) " by the " area "."
  return capital(name) " is " a(kind) " by the " area ". " person " likes " name "."
}

function middle(name, kind, food, area, price, children, person,  n) {
  n = below(8)
  if (n == 0) return "\"I would like " food ",\" said " person ". The " food " of " name " was " pick(tastes) "."
  if (n == 1) return "\"Where is " name "?\" \"By the " area ",\" said " person "."
  if (n == 2) return "\"Is the " food " of " name " cheap?\" \"It is " price ",\" said " person "."
  if (n == 3) return "People come to " name " for " food "."
  if (n == 4) return capital(name) " is " a(price == "fair" ? kind " with fair prices" : price " " kind) "."
  if (n == 5) return "Children " children " welcome."
  if (n == 6) return "Name of the " kind ": " name ". Food of " name ": " food ". Area: the " area "."
  return "Of all places by the " area ", " person " likes " name "."
}

function ending(name, kind, food, area, person,  n) {
  n = below(3)
  if (n == 0) return "If you like " food ", go to " name " by the " area "."
  if (n == 1) return person " said: \"" capital(name) " is my " kind ".\""
  return "Then " name " closed, and " person " went home."
}

# ---- the task: a record of a place, and the sentences that say what it says ----

function pair(held,  first, second, name, kind, food, area, price, children, record, text) {
  do {
    first = pick(adjectives); second = pick(nouns)
    name = "the " first " " second
  } while ((index(adjectives, first) * 7 + index(nouns, second) * 3) % 5 == 0 != held)
  kind = pick(kinds); food = pick(foods); area = pick(areas)
  price = pick("low|fair|high|"); children = pick("yes|no|")
  record = "name: " name ", kind: " kind ", food: " food ", area: " area
  if (price != "") record = record ", price: " price
  if (children != "") record = record ", children: " children
  text = capital(name) " is " a(price == "low" ? "cheap " kind : price == "high" ? "dear " kind : kind) " by the " area
  text = text (price == "fair" ? " with " food " at fair prices." : " with " food ".")
  if (children != "") text = text (children == "yes" ? " Children are welcome." : " Children are not welcome.")
  return "{\"record\": \"" record "\", \"sentence\": \"" text "\"}"
}
