package recommender

import java.io.File
import java.io.IOException
import java.io.InputStream
import org.json.JSONArray
import org.json.JSONObject

/** Runs the questions and the updates of the conformance suite with the classes of the Android sample. */
fun main(arguments: Array<String>) {
    val (films, vectors, updates, work) = arguments.map(::File)
    val recommender = Recommender(films)
    val answers = entries(vectors).map { vector ->
        try {
            ask(recommender, vector)
        } catch (error: ArtifactException) {
            JSONObject().put("name", "Problem").put("message", error.message)
        }
    }
    val refused = entries(updates).map { change -> update(films, change, work) }
    println(JSONObject().put("answers", JSONArray(answers)).put("updates", JSONArray(refused)))
    System.out.flush()
    recommender.close()
}

private fun texts(array: JSONArray): List<String> = List(array.length(), array::getString)

private fun entries(file: File): List<JSONObject> = JSONArray(file.readText()).let { List(it.length(), it::getJSONObject) }

private fun ask(recommender: Recommender, vector: JSONObject): Any? {
    val options = vector.optJSONObject("options") ?: JSONObject()
    val activity = options.optJSONObject("activity")?.let { columns ->
        columns.keySet().associateWith { name ->
            val values = columns.getJSONArray(name)
            List(values.length()) { if (values.isNull(it)) null else values.get(it) }
        }
    }.orEmpty()
    val choice = Choice(
        k = if (options.has("k")) options.getInt("k") else null,
        allow = options.optJSONArray("allow")?.let(::texts),
        deny = options.optJSONArray("deny")?.let(::texts).orEmpty(),
        boost = options.optJSONObject("boost")?.let { b -> b.keySet().associateWith { b.getDouble(it).toFloat() } }.orEmpty(),
    )
    fun history() = texts(vector.getJSONArray("history"))
    return when (vector.getString("kind")) {
        "recommend" -> pairs(recommender.recommend(history(), choice, options.optDouble("diversity", 0.0), activity))
        "similar" -> pairs(recommender.similar(vector.getString("item"), choice))
        "because" -> JSONArray(
            recommender.because(history(), vector.getString("item"), activity).map { (item, value) -> JSONArray().put(item.id).put(value) },
        )
        "search" -> JSONArray(recommender.catalogue.search(vector.getString("text")).map { it.id })
        else -> recommender.catalogue.titled(vector.getString("text"))?.id ?: JSONObject.NULL
    }
}

private fun pairs(items: List<Recommendation>) = JSONArray(items.map { (item, score) -> JSONArray().put(item.id).put(score) })

/** Returns the outcome of an update whose files are changed: the error, and the version in use afterwards. */
private fun update(films: File, change: JSONObject, work: File): JSONObject {
    val folder = File(work, "models").apply { deleteRecursively() }
    films.copyRecursively(File(folder, "1"))
    File(folder, "latest").writeText("1\n")
    val updates = Updates(folder, "https://models.example/films") { address ->
        val name = address.substringAfterLast("/")
        val content = if (name == "latest") "2\n".toByteArray() else File(films, name).readBytes()
        if (name == change.optString("file")) changed(content, change) else content.inputStream()
    }
    val outcome = JSONObject()
    try {
        outcome.put("installed", updates.update()?.name)
    } catch (error: ArtifactException) {
        outcome.put("error", error.message)
    }
    val used = updates.current()
    outcome.put("used", used?.name)
    outcome.put("first", Recommender(used!!).use { it.recommend(emptyList()).first().item.id })
    return outcome.put("files", JSONArray(folder.list().orEmpty().sorted()))
}

private fun changed(content: ByteArray, change: JSONObject): InputStream {
    val at = change.optInt("at")
    return when (change.getString("change")) {
        "flip" -> content.also { it[at] = (it[at].toInt() xor 1).toByte() }.inputStream()
        "truncate" -> content.copyOf(at).inputStream()
        "set" -> JSONObject(content.decodeToString()).put(change.getString("key"), change.get("value")).toString().byteInputStream()
        "interrupt" -> object : InputStream() {
            private val source = content.copyOf(at).inputStream()

            override fun read(): Int = source.read().also { if (it < 0) throw IOException("Connection reset") }
        }
        else -> throw IOException("the server responds 404")
    }
}
