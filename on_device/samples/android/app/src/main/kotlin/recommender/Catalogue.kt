package recommender

import java.text.Normalizer

/** The items that a model knows, in the order of popularity, with lookup by id and by title. */
class Catalogue(val items: List<Item>) {
    private val byId = items.associateBy { it.id }
    private val words = items.map { " " + normalized(it.title) }
    private val byTitle = words.zip(items).reversed().toMap() // The most popular of the items with a title is kept.

    fun at(index: Int): Item = items[index - FIRST_INDEX]

    fun find(id: String): Item? = byId[id]

    /** Returns the index of an item, or UNKNOWN for an id that the catalogue lacks. */
    fun index(id: String): Int = byId[id]?.index ?: UNKNOWN

    /** Returns the most popular item with the given title; case, accents and punctuation are ignored. */
    fun titled(title: String): Item? = byTitle[" " + normalized(title)]

    /** Returns the items whose titles have, for each word of the text, a word that begins with it; popular first. */
    fun search(text: String): List<Item> {
        val prefixes = normalized(text).split(" ").filter { it.isNotEmpty() }.map { " $it" }
        return items.filterIndexed { position, _ -> prefixes.all { it in words[position] } }
    }
}

private val MARKS = Regex("\\p{Mn}")
private val APOSTROPHES = Regex("['\u2019]")
private val NON_WORD = Regex("[^\\p{L}\\p{N}]+")

/** Returns the words of a text in lower case, without accents, apostrophes or punctuation, one space apart. */
fun normalized(text: String): String {
    val letters = Normalizer.normalize(text, Normalizer.Form.NFKD).replace(MARKS, "")
    return letters.replace(APOSTROPHES, "").lowercase().replace(NON_WORD, " ").trim()
}
