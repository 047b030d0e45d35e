# Compares generated sentences with those of the data, both JSON Lines in the same order:
#   awk -f score.awk held-out.jsonl generated.jsonl     prints "whole facts": percent of sentences that are right as a
#   whole, and of single facts (name, kind, food, area, price, children) that are said right.
function field(line, name,  start, rest) { # of a flat JSON object whose texts have no quotes
  start = index(line, "\"" name "\"")
  rest = substr(line, start + length(name) + 2)
  sub(/^[: ]*"/, "", rest)
  return substr(rest, 1, index(rest, "\"") - 1)
}
function fact(record, name,  at, rest) {
  at = index(record, name ": ")
  if (!at) return ""
  rest = substr(record, at + length(name) + 2)
  return index(rest, ",") ? substr(rest, 1, index(rest, ",") - 1) : rest
}
function check(right) { ++facts; facts_right += right }
NR == FNR { record[FNR] = field($0, "record"); sentence[FNR] = field($0, "sentence"); next }
{
  text = field($0, "text")
  sub(/^ */, "", text)
  ++all
  whole += text == sentence[FNR]
  said = tolower(text)
  check(index(said, fact(record[FNR], "name") " is a") == 1)
  check(index(said, " " fact(record[FNR], "kind") " by") > 0)
  check(index(said, " with " fact(record[FNR], "food")) > 0)
  check(index(said, " by the " fact(record[FNR], "area") " ") > 0)
  price = fact(record[FNR], "price"); children = fact(record[FNR], "children")
  cheap = index(said, " cheap ") > 0; dear = index(said, " dear ") > 0; fair = index(said, " at fair prices") > 0
  check(cheap == (price == "low") && dear == (price == "high") && fair == (price == "fair"))
  check((index(said, " are welcome") > 0) == (children == "yes") && (index(said, " are not welcome") > 0) == (children == "no"))
}
END { printf "%.0f %.0f\n", 100 * whole / all, 100 * facts_right / facts }
