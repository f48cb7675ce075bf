// Recommends with a pushed model on Android. In build.gradle.kts:
//     implementation("com.google.ai.edge.litert:litert:1.4.2")

import java.io.File
import org.json.JSONObject
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.TensorFlowLite

const val PADDING = 0
const val UNKNOWN = 1
const val EXCLUDED = -30000f // The bias of an item that is not wanted: far below any score.
const val FIRST_INDEX = 2 // An id below it is no item: -1 marks the places of an answer that stay empty.

data class Item(val id: String, val title: String)

data class Recommendation(val item: Item, val score: Float)

/** A version's folder, copied or downloaded into the app's own files. */
class Recommender(folder: File) : AutoCloseable {
    init {
        val needed = JSONObject(File(folder, "model_info.json").readText()).optString("min_runtime")
        val installed = TensorFlowLite.runtimeVersion()
        require(!isOlder(installed, needed)) { "model.tflite needs TensorFlow Lite $needed, the app has $installed" }
    }

    // XNNPACK is the default of recent releases only; without it an answer takes several times as long.
    private val interpreter = Interpreter(File(folder, "model.tflite"), Interpreter.Options().setUseXNNPACK(true))
    private val length = interpreter.getInputTensorFromSignature("history", "recommend").shape()[1]
    private val topK = interpreter.getOutputTensorFromSignature("ids", "recommend").shape()[1]
    private val items = JSONObject(File(folder, "items.json").readText()).getJSONArray("items").let { entries ->
        List(entries.length()) { entries.getJSONObject(it) }.map { Item(it.getString("id"), it.getString("title")) }
    }
    private val recommendsSeen =
        JSONObject(File(folder, "model_info.json").readText()).optBoolean("recommends_seen")
    private val indices = items.withIndex().associate { (place, item) -> item.id to place + FIRST_INDEX }

    /**
     * The best items, best first, for somebody who chose `history`: ids, oldest first. Only items that `allows` are
     * among them, and none of `deny`; `boost` is added to the scores of some.
     */
    @Synchronized
    fun recommend(
        history: List<String>,
        deny: List<String> = emptyList(),
        boost: Map<String, Float> = emptyMap(),
        allows: (Item) -> Boolean = { true },
    ): List<Recommendation> {
        val chosen = history.map { indices[it] ?: UNKNOWN }
        val recent = IntArray(length) { PADDING }.also { chosen.takeLast(length).toIntArray().copyInto(it) }
        // The model leaves out the items that it sees of the history; older ones are excluded here.
        val older = if (recommendsSeen) emptyList() else chosen.dropLast(length)
        val bias = FloatArray(items.size + FIRST_INDEX)
        boost.forEach { (id, value) -> indices[id]?.let { bias[it] = value } }
        items.forEachIndexed { place, item -> if (!allows(item)) bias[place + FIRST_INDEX] = EXCLUDED }
        (deny.mapNotNull { indices[it] } + older).forEach { bias[it] = EXCLUDED }
        // A model with activity features also takes, in parallel with the history, "ratings" (FloatArray, NaN where
        // nothing was said and in the padding) and "times" (IntArray, seconds since 1970, 0 where unknown). For columns
        // of a log, `activity_inputs` of model_info.json has the names: a `number` is as ratings are, and a `word` is
        // its place among the `words` plus 2 (IntArray), 1 for another word, 0 where unknown.
        val inputs = mapOf<String, Any>("history" to arrayOf(recent), "bias" to arrayOf(bias))
        val ids = Array(1) { IntArray(topK) }
        val scores = Array(1) { FloatArray(topK) }
        val outputs = mapOf<String, Any>("ids" to ids, "scores" to scores)
        interpreter.runSignature(inputs, outputs, "recommend")
        return (ids[0] zip scores[0].asIterable())
            .filter { (id, _) -> id >= FIRST_INDEX }
            .map { (id, score) -> Recommendation(items[id - FIRST_INDEX], score) }
    }

    override fun close() = interpreter.close()

    /** Whether a version of TensorFlow Lite is older. LiteRT 1.0 continues 2.17, which runs every file. */
    private fun isOlder(installed: String, needed: String): Boolean {
        val (have, need) = listOf(installed, needed).map { version ->
            version.split(".", "-").map { it.toIntOrNull() ?: 0 }
        }
        if (have[0] == 1) return false
        return need.indices.map { need[it] - have.getOrElse(it) { 0 } }.firstOrNull { it != 0 }?.let { it > 0 } ?: false
    }
}
