package recommender

import java.io.File
import java.security.MessageDigest
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

const val MODEL = "model.tflite"
const val ITEMS = "items.json"
const val INFO = "model_info.json"
const val FORMAT = 2
const val PADDING = 0
const val UNKNOWN = 1
const val FIRST_INDEX = 2

/** A pushed model, its runtime or a request cannot be used. The message is one line. */
class ArtifactException(message: String) : Exception(message)

/** An item of the catalogue. `index` is valid only for this version of the model: store a history as ids. */
data class Item(
    val index: Int,
    val id: String,
    val title: String,
    val genres: List<String>,
    val year: Int?,
)

/** The folder of a version, read and compared with its checksums. */
class Artifact(val folder: File) {
    val info: JSONObject = parse(INFO)
    val model = File(folder, MODEL)
    val items: List<Item>

    init {
        if (info.optInt("format") != FORMAT) {
            throw ArtifactException("$folder/$INFO: format ${info.opt("format")}, this app reads $FORMAT; update the app")
        }
        val checksums = info.optJSONObject("sha256")
        for (name in listOf(ITEMS, MODEL)) {
            if (sha256(File(folder, name)) != checksums?.optString(name)) {
                throw ArtifactException("$folder/$name: not the file that was pushed, or incomplete")
            }
        }
        items = readItems()
        if (items.size != info.optInt("num_items", -1)) {
            throw ArtifactException("$folder/$ITEMS: ${items.size} items, but $INFO says ${info.opt("num_items")}")
        }
    }

    private fun parse(name: String): JSONObject =
        try {
            JSONObject(File(folder, name).readText())
        } catch (error: java.io.IOException) {
            throw ArtifactException("$folder/$name: cannot be read (${error.message})")
        } catch (error: JSONException) {
            throw ArtifactException("$folder/$name: not JSON (${error.message})")
        }

    private fun readItems(): List<Item> =
        try {
            val content = parse(ITEMS)
            if (content.getInt("format") != FORMAT) throw JSONException("the format is not $FORMAT")
            val entries = content.getJSONArray("items")
            List(entries.length()) { position ->
                val entry = entries.getJSONObject(position)
                val index = entry.getInt("index")
                if (index != position + FIRST_INDEX) throw JSONException("index $index in place $position")
                val year = if (entry.isNull("year")) null else entry.getInt("year")
                val genres = strings(entry.getJSONArray("genres"))
                Item(index, entry.getString("id"), entry.getString("title"), genres, year)
            }
        } catch (error: JSONException) {
            throw ArtifactException("$folder/$ITEMS: not the items of a model (${error.message})")
        }

    private fun sha256(file: File): String {
        val digest = MessageDigest.getInstance("SHA-256")
        try {
            file.inputStream().use { input ->
                val block = ByteArray(1 shl 16)
                while (true) {
                    val size = input.read(block)
                    if (size < 0) break
                    digest.update(block, 0, size)
                }
            }
        } catch (error: java.io.IOException) {
            throw ArtifactException("$file: cannot be read (${error.message})")
        }
        return digest.digest().joinToString("") { "%02x".format(it) }
    }
}

internal fun strings(array: JSONArray): List<String> = List(array.length()) { array.getString(it) }
