package recommender

import java.text.Normalizer

/** The items that a model knows, by id, and by title as people write it. They are in the order of popularity. */
class Catalogue(val items: List<Item>) {
    private val byId = items.associateBy { it.id }
    private val words = items.map { " " + normalized(it.title) }
    private val byTitle = HashMap<String, Item>().apply { items.forEachIndexed { at, item -> putIfAbsent(words[at], item) } }

    fun at(index: Int): Item = items[index - FIRST_INDEX]

    fun find(id: String): Item? = byId[id]

    /** The index of an item; UNKNOWN for an id that the catalogue lacks. */
    fun index(id: String): Int = byId[id]?.index ?: UNKNOWN

    /** The most popular item with a title, whatever its case, accents and punctuation. */
    fun titled(title: String): Item? = byTitle[" " + normalized(title)]

    /** The items with a word in their title that begins with each word of a text, popular ones first. */
    fun search(text: String): List<Item> {
        val prefixes = normalized(text).split(" ").filter { it.isNotEmpty() }.map { " $it" }
        return items.filterIndexed { at, _ -> prefixes.all { it in words[at] } }
    }
}

private val MARKS = Regex("\\p{Mn}")
private val APOSTROPHES = Regex("['\u2019]")
private val NO_WORD = Regex("[^\\p{L}\\p{N}]+")

/** The words of a text in lower case, without accents, apostrophes and punctuation, with spaces between. */
fun normalized(text: String): String {
    val letters = Normalizer.normalize(text, Normalizer.Form.NFKD).replace(MARKS, "")
    return letters.replace(APOSTROPHES, "").lowercase().replace(NO_WORD, " ").trim()
}
